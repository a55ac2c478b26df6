//! Settings of a workspace: a closed list of names, each with its check and default.

use std::collections::HashSet;

use runcellar_format::keyslots::Epoch;
use runcellar_format::record::{
    Body, Change, ChangeKind, FieldChange, FieldId, REMOTES_FIELD, SIBLINGS_FIELD, Settings, Siblings, SlotInfo,
    Stamped, VOUCHERS_MAX, VOUCHERS_OF_SETTINGS_FIELD, Vouchers, extra_body, set_extra_body,
};
use runcellar_format::seal::Kind;
use runcellar_format::sync::voucher;
use runcellar_format::{DeviceId, EpochId, SlotId};

use super::Workspace;
use crate::db::{Cover, ObjectKey, ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Json, Result};

/// A setting: its name, what it means, its default, and what values it takes.
#[derive(Debug, Clone, Copy)]
pub struct SettingInfo {
    /// Name, as users type it.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub about: &'static str,
    /// Default, as users type it.
    pub default: &'static str,
    values: Values,
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Choice(&'static [&'static str]),
    Switch,
    Days,
    Text,
    Findings,
    Bytes,
}

/// The setting that keeps everything, or a project, at home.
pub(crate) const LOCAL_ONLY: &str = "local_only";

/// The setting that spreads what goes to remotes over time.
const SYNC_LIMIT: &str = "sync.limit";
/// The setting that says how long what is not needed any more stays on remotes.
pub(crate) const SYNC_GRACE: &str = "sync.grace";
/// Whether files of what other devices published are fetched.
pub(crate) const SYNC_CONTENT: &str = "sync.content";

/// The most ids of findings that may be allowed.
const ALLOWED_MAX: usize = 1000;

/// The most settings of projects.
const OF_PROJECTS_MAX: usize = 1000;
/// Units of sizes, with their factors; as elsewhere in computing, `k` alone is 1024.
const UNITS: [(&str, f64); 14] = [
    ("", 1.0),
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("k", 1024.0),
    ("kib", 1024.0),
    ("m", 1_048_576.0),
    ("mib", 1_048_576.0),
    ("g", 1_073_741_824.0),
    ("gib", 1_073_741_824.0),
    ("t", 1_099_511_627_776.0),
    ("tib", 1_099_511_627_776.0),
];

/// All settings.
pub const SETTINGS: &[SettingInfo] = &[
    SettingInfo {
        name: "code.save",
        about: "what of the code a run keeps besides the git commit",
        default: "none",
        values: Values::Choice(&["none", "diff", "untracked", "main"]),
    },
    SettingInfo { name: "console", about: "record the console", default: "true", values: Values::Switch },
    SettingInfo { name: "system", about: "record system metrics", default: "true", values: Values::Switch },
    SettingInfo {
        name: "source",
        about: "record the git remote, whether files differ from the commit, and packages",
        default: "true",
        values: Values::Switch,
    },
    SettingInfo { name: "redact", about: "look for secrets before writing", default: "true", values: Values::Switch },
    SettingInfo {
        name: "secrets.allow",
        about: "findings that are no secrets: their ids, with commas between",
        default: "",
        values: Values::Findings,
    },
    SettingInfo {
        name: "retention.days",
        about: "gc hides runs so many days after their end, and erases them 30 days later; 0 keeps them",
        default: "0",
        values: Values::Days,
    },
    SettingInfo {
        name: "retention.code.days",
        about: "gc erases code of runs so many days after their end; 0 keeps it",
        default: "0",
        values: Values::Days,
    },
    SettingInfo {
        name: "retention.media.days",
        about: "gc erases media of runs so many days after their end; 0 keeps them",
        default: "0",
        values: Values::Days,
    },
    SettingInfo {
        name: super::quota::QUOTA,
        about: "warn beyond so many bytes, such as 50GB; 0: never; quota.bytes:PROJECT is a project's",
        default: "0",
        values: Values::Bytes,
    },
    SettingInfo {
        name: "project.default",
        about: "project of runs that name none",
        default: "default",
        values: Values::Text,
    },
    SettingInfo {
        name: SYNC_LIMIT,
        about: "the most bytes a second to and from each remote, such as 2MB; 0: as fast as it goes",
        default: "0",
        values: Values::Bytes,
    },
    SettingInfo {
        name: SYNC_GRACE,
        about: "days that remotes keep what gc made needless, unless all devices have read on before; 0: none",
        // A day: longer than a device takes to fetch what it began with; one that takes longer begins with what is there then.
        default: "1",
        values: Values::Days,
    },
    SettingInfo {
        name: SYNC_CONTENT,
        about: "where files lie that other devices published: here, or on the remote until they are read",
        default: "here",
        values: Values::Choice(&["here", "remote"]),
    },
    SettingInfo {
        name: LOCAL_ONLY,
        about: "never sync, whatever is consented; local_only:PROJECT keeps a project at home",
        default: "false",
        values: Values::Switch,
    },
];

impl SettingInfo {
    /// Reads a value as users type it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with what would be understood.
    pub fn parse(&self, text: &str) -> Result<Json> {
        let expected = |what: &str| Error::invalid(format!("{}: expected {what}, found {text:?}", self.name));
        match self.values {
            Values::Choice(choices) if choices.contains(&text) => Ok(Json::Text(text.into())),
            Values::Choice(choices) => Err(expected(&format!("one of {}", choices.join(", ")))),
            Values::Switch => match text {
                "true" | "on" | "yes" | "1" => Ok(Json::Bool(true)),
                "false" | "off" | "no" | "0" => Ok(Json::Bool(false)),
                _ => Err(expected("true or false")),
            },
            Values::Days => match text.parse::<i64>() {
                Ok(days) if (0..=36_500).contains(&days) => Ok(Json::Int(days)),
                _ => Err(expected("a number of days from 0 to 36500")),
            },
            Values::Bytes => bytes(text).map(Json::Int).ok_or_else(|| expected("a size, such as 50GB or 1.5 TiB")),
            Values::Findings => {
                let ids: Vec<&str> = text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
                match ids.iter().all(|id| is_finding_id(id)) && ids.len() <= ALLOWED_MAX {
                    true => Ok(Json::Text(ids.join(","))),
                    false => Err(expected("ids of findings, 12 hexadecimal digits each, with commas between")),
                }
            }
            Values::Text if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) => {
                Err(expected("a name of 1 to 128 bytes"))
            }
            Values::Text => Ok(Json::Text(text.into())),
        }
    }

    /// Returns true if projects may have values of their own: its name, a colon and the project.
    #[must_use]
    pub fn is_of_projects(&self) -> bool {
        let is_of_remotes = matches!(self.name, SYNC_LIMIT | SYNC_GRACE);
        let is_limit = matches!(self.values, Values::Bytes | Values::Days) && !is_of_remotes;
        is_limit || self.name == LOCAL_ONLY
    }

    fn default_value(&self) -> Result<Json> {
        self.parse(self.default)
    }
}

/// Reads a size: a number, and a unit in any case.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    // Whole numbers of bytes stay exact.
    if let Ok(count) = number.parse::<i64>()
        && *factor == 1.0
    {
        return Some(count);
    }
    let size = number.parse::<f64>().ok()? * factor;
    (size < i64::MAX as f64).then_some(size.round() as i64)
}

/// Finds a setting by name, also that of a project: `NAME:PROJECT`.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] with the names there are.
pub fn setting(name: &str) -> Result<&'static SettingInfo> {
    let (base, project) = name.split_once(':').map_or((name, None), |(base, project)| (base, Some(project)));
    let info = SETTINGS.iter().find(|info| info.name == base).ok_or_else(|| {
        let names: Vec<&str> = SETTINGS.iter().map(|info| info.name).collect();
        Error::invalid(format!("no setting {name:?}; there are {}", names.join(", ")))
    })?;
    if let Some(project) = project {
        if !info.is_of_projects() {
            return Err(Error::invalid(format!("setting {base}: holds for all projects, and cannot be set for one")));
        }
        crate::run::checked_name("project", project.to_owned(), &[':', '#', '?'])?;
    }
    Ok(info)
}

impl Workspace {
    /// Returns the value of a setting, or its default.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for an unknown name, or a failed read.
    pub fn setting(&self, name: &str) -> Result<Json> {
        setting(name)?;
        value(&self.inner.read(load)?, name)
    }

    /// Lists all settings with their values: those of the workspace, each followed by what is set for projects.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn settings(&self) -> Result<Vec<(String, &'static SettingInfo, Json)>> {
        let settings = self.inner.read(load)?;
        let mut all = Vec::new();
        for info in SETTINGS {
            all.push((info.name.to_owned(), info, value(&settings, info.name)?));
            let is_own = |name: &str| info.is_of_projects() && name.starts_with(&format!("{}:", info.name));
            let mut own: Vec<&String> =
                settings.values.iter().map(|(name, _)| name).filter(|name| is_own(name)).collect();
            own.sort_unstable();
            for name in own {
                all.push((name.clone(), info, value(&settings, name)?));
            }
        }
        Ok(all)
    }

    /// Sets a setting from its text; `None` brings the default back.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for an unknown name or a value that it does not take.
    pub fn set_setting(&self, name: &str, text: Option<&str>) -> Result<()> {
        let info = setting(name)?;
        let value = text.map(|text| info.parse(text)).transpose()?;
        self.inner.write(None, |tx| {
            let change = FieldChange::new(FieldId::Setting, name, &value.clone().unwrap_or(Json::Null));
            let change = change.map_err(|cause| Error::format(name, cause))?;
            let tokens = change.tokens().clone();
            let of_projects = |(known, _): &&(String, _)| known.contains(':') && known != name;
            let is_full = load(tx, tx.keyring)?.values.iter().filter(of_projects).count() >= OF_PROJECTS_MAX;
            if is_full && value.is_some() && name.contains(':') {
                return Err(Error::invalid(format!("setting {name}: {OF_PROJECTS_MAX} are set for projects already")));
            }
            update(tx, vec![change], |settings, clock| {
                settings.values.retain(|(key, _)| key != name);
                if value.is_some() {
                    settings.values.push((name.to_owned(), Stamped::new(tokens, clock)));
                }
            })
        })
    }
}

/// Returns true if a text has the form of a finding's id.
pub(crate) fn is_finding_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Returns the value of a setting, or its default.
pub(crate) fn value(settings: &Settings, name: &str) -> Result<Json> {
    match settings.values.iter().find(|(key, _)| key == name) {
        Some((_, stamped)) => stamped.value.json().map_err(|cause| Error::format(name, cause)),
        None => setting(name)?.default_value(),
    }
}

/// Returns the projects of which nothing leaves.
pub(crate) fn projects_at_home(settings: &Settings) -> Result<HashSet<String>> {
    let mut at_home = HashSet::new();
    for (name, _) in &settings.values {
        if let Some(project) = name.strip_prefix(LOCAL_ONLY).and_then(|rest| rest.strip_prefix(':'))
            && value(settings, name)? == Json::Bool(true)
        {
            at_home.insert(project.to_owned());
        }
    }
    Ok(at_home)
}

/// Reads the settings record.
pub(crate) fn load(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Settings> {
    let row = tx.object(ObjectKey::new(Kind::Settings, WORKSPACE_OWNER, 0))?;
    let row = row.ok_or_else(|| Error::damaged("cellar.db: the settings are missing"))?;
    let body = tx.open_object(keyring, &row)?;
    Settings::from_body(&body).map_err(|cause| Error::format("settings", cause))
}

/// Keeps the name and time of a new slot, which stand nowhere in clear, and forgets those of slots that are gone.
pub(super) fn change_slots(tx: &mut WriteTx<'_>, gone: &[SlotId], new: Option<&SlotInfo>) -> Result<()> {
    let gone_fields = gone.iter().map(|slot| (*slot, Json::Null));
    let new_field = new.map(|info| {
        let (name, created) = (Json::Text(info.name.clone()), Json::Int(info.created));
        (SlotId(info.slot), Json::Map(vec![("name".into(), name), ("created".into(), created)]))
    });
    let fields = gone_fields.chain(new_field).map(|(slot, value)| {
        FieldChange::new(FieldId::Slot, slot.to_string(), &value).map_err(|cause| Error::format("slot", cause))
    });
    update(tx, fields.collect::<Result<_>>()?, |settings, _| {
        settings.slots.retain(|info| gone.iter().all(|gone| info.slot != gone.0));
        settings.slots.extend(new.cloned());
    })
}

/// Calls a new slot by the name of one that it takes the place of.
pub(super) fn replace_slot(tx: &mut WriteTx<'_>, old: SlotId, new: SlotId) -> Result<()> {
    let known = load(tx, tx.keyring)?.slots.into_iter().find(|info| info.slot == old.0);
    let name = known.map(|info| info.name).unwrap_or_default();
    let info = SlotInfo { slot: new.0, name, created: tx.io.wall_us() };
    change_slots(tx, &[old], Some(&info))
}

/// Changes the settings record and writes what changed.
fn update(tx: &mut WriteTx<'_>, fields: Vec<FieldChange>, edit: impl FnOnce(&mut Settings, u64)) -> Result<()> {
    let mut settings = load(tx, tx.keyring)?;
    let clock = tx.next_clock();
    edit(&mut settings, clock);
    store(tx, &settings, clock, fields)
}

/// Returns the epochs that stand beside those of the table.
pub(crate) fn siblings(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<Epoch>> {
    siblings_of(&load(tx, keyring)?)
}

fn siblings_of(settings: &Settings) -> Result<Vec<Epoch>> {
    let known: Option<Siblings> =
        extra_body(&settings.extra, SIBLINGS_FIELD).map_err(|cause| Error::format("siblings of epochs", cause))?;
    let epoch = |(number, id, parent)| Epoch { number, id: EpochId(id), parent: EpochId(parent) };
    Ok(known.unwrap_or_default().epochs.into_iter().map(epoch).collect())
}

/// Remembers epochs that stand beside those of the table.
pub(crate) fn add_siblings(tx: &mut WriteTx<'_>, more: &[Epoch]) -> Result<()> {
    if more.is_empty() {
        return Ok(());
    }
    update_extra(tx, |_, settings, _| {
        let mut all = siblings_of(settings)?;
        let new = more.iter().filter(|epoch| all.iter().all(|known| known.id != epoch.id)).copied();
        all.extend(new.collect::<Vec<_>>());
        let epochs = all.iter().map(|epoch| (epoch.number, epoch.id.0, epoch.parent.0)).collect();
        set_extra_body(&mut settings.extra, SIBLINGS_FIELD, &Siblings { epochs })
            .map_err(|cause| Error::format("siblings of epochs", cause))
    })
}

/// Returns what shows others that this device had root keys which it replaced.
pub(crate) fn vouchers(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vouchers> {
    vouchers_of(&load(tx, keyring)?)
}

fn vouchers_of(settings: &Settings) -> Result<Vouchers> {
    let known = extra_body(&settings.extra, VOUCHERS_OF_SETTINGS_FIELD);
    Ok(known.map_err(|cause| Error::format("vouchers", cause))?.unwrap_or_default())
}

/// Keeps what shows others that this device had the live root key, which is about to be replaced. Where no remote is known nobody looks.
pub(super) fn keep_voucher(tx: &mut WriteTx<'_>) -> Result<()> {
    let settings = load(tx, tx.keyring)?;
    if settings.extra.iter().all(|(field, _)| *field != REMOTES_FIELD) {
        return Ok(());
    }
    let (epoch, device) = (tx.epoch().id, DeviceId(tx.root().device));
    let (root, public) = (tx.keyring.epoch_key(epoch)?, super::device_key(tx)?.public());
    let voucher = voucher(root.secret(), (tx.keyring.workspace(), epoch), device, &public);
    update_extra(tx, |_, settings, _| {
        let mut vouchers = vouchers_of(settings)?;
        vouchers.all.push((epoch.0, voucher));
        let old = vouchers.all.len().saturating_sub(VOUCHERS_MAX);
        vouchers.all.drain(..old);
        set_extra_body(&mut settings.extra, VOUCHERS_OF_SETTINGS_FIELD, &vouchers)
            .map_err(|cause| Error::format("vouchers", cause))
    })
}

/// Changes what stands in `Settings.extra`, of which no change record tells.
pub(crate) fn update_extra<T>(
    tx: &mut WriteTx<'_>,
    edit: impl FnOnce(&mut WriteTx<'_>, &mut Settings, u64) -> Result<T>,
) -> Result<T> {
    let mut settings = load(tx, tx.keyring)?;
    let clock = tx.next_clock();
    let value = edit(tx, &mut settings, clock)?;
    store(tx, &settings, clock, Vec::new())?;
    Ok(value)
}

fn store(tx: &mut WriteTx<'_>, settings: &Settings, clock: u64, fields: Vec<FieldChange>) -> Result<()> {
    let key = tx.workspace_key(tx.keyring, Purpose::Settings)?;
    let object = WORKSPACE_OWNER.0;
    tx.change(&key, &Change { clock, kind: ChangeKind::SetSettings, object, fields, extra: Vec::new() })?;
    let body = settings.to_body().map_err(|cause| Error::format("settings", cause))?;
    tx.put(ObjectKey::new(Kind::Settings, WORKSPACE_OWNER, 0), None, &key, &body, Cover::Root)?;
    Ok(())
}
