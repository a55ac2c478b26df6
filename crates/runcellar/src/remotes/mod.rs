//! What this workspace publishes on remotes, and what it takes in from there: all of sync but the transport.
//!
//! Nothing here knows a network. [`Exchange`] gives objects to store and takes objects that were fetched; whoever calls
//! it moves them. docs/ARCHITECTURE.md, "Sync".
//!
//! ```text
//! cellar.db --compare--> own replica --segments, head--> remote --> replica of another device --merge--> its cellar.db
//! ```
//!
//! A **replica** is what one device has published on one remote: a database with the same tables, whose rows are taken as
//! they are. One's own says what is still to be published; those of others are merged as any other workspace is.

mod agent;
mod apply;
mod away;
mod consent;
mod content;
mod evict;
mod exchange;
mod fetch;
mod held;
mod incoming;
mod ledger;
mod left;
mod log;
mod outgoing;
mod packs;
mod record;
mod replica;
mod search;
mod shut_out;
mod status;
mod takeover;
mod terms;
mod there;
mod verify;
mod waste;
mod welcome;
mod wiping;

pub use agent::{AGENT_FILE, AgentLock};
pub use away::{Believed, Repair};
pub use consent::{ConsentRequest, Estimate, OFFLINE_FILE};
pub(crate) use evict::refuse_if_evicted;
pub use evict::{EvictionPlan, Stays};
pub use exchange::{Exchange, Known};
pub use fetch::{Brought, ContentBringer, ContentSource, FetchError};
pub use held::HeldRun;
pub use incoming::{Advance, OwnHead};
pub use ledger::{AgreedTo, Ledger, LedgerWriter, SentObject, Subject};
pub use left::SegmentName;
pub use outgoing::{Head, Prepared};
pub use packs::{Fetched, PackName};
pub use record::{RemoteChange, RemoteClass, RemoteInfo, RemoteStatus};
pub use runcellar_format::record::TERMS_BYTES_MAX;
pub use shut_out::ShutOut;
pub use status::{LastExchange, Unsent, UnsentRun};
pub use takeover::{Begun, Standing, Takeover};
pub(crate) use terms::check as check_terms;
pub use terms::{NewTerms, TermsChange, TermsInfo};
pub use verify::Published;
pub use waste::{DuePacks, WaitingPacks};
pub use welcome::{clone_from, epoch_of_welcome};
pub use wiping::Leftovers;
pub(crate) use wiping::{DeviceReach, Reach, reach};
