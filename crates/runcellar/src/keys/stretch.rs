//! How much work a passphrase is stretched with: as much as this machine does in a moment, and never too little.

use runcellar_format::keyslots::{Argon2Params, SlotSecret};

use super::Passphrase;
use crate::io::{self, Io};
use crate::{Error, Result};

/// How long opening with a passphrase may take, microseconds: a person hardly waits, and who guesses waits each time.
const AIM_US: i64 = 300_000;
/// The most passes that are chosen: a machine ten times as fast as its owner's other one must not lock that out.
const PASSES_MAX: u32 = 12;

/// Stretches a new passphrase with a fresh salt.
///
/// The default cost is the least. It is measured, and where it takes less than the aim, passes are added: memory stays
/// the same, so that a slot made on a large machine opens on a small one.
pub(crate) fn stretch(io: &dyn Io, passphrase: &Passphrase) -> Result<SlotSecret> {
    if passphrase.is_empty() {
        return Err(Error::invalid("the passphrase is empty"));
    }
    let text = passphrase.normalised();
    let secret = |params| SlotSecret::passphrase(&text, params).map_err(|cause| Error::format("passphrase", cause));
    let params = Argon2Params::default_cost(io::random(io)?);
    let begun = io.monotonic_us();
    let least = secret(params)?;
    let passes = passes_for(params.passes, io.monotonic_us() - begun);
    if passes == params.passes { Ok(least) } else { secret(Argon2Params { passes, ..params }) }
}

/// Returns how many passes take about as long as is aimed at, if `passes` took `us`.
fn passes_for(passes: u32, us: i64) -> u32 {
    let wanted = i64::from(passes).saturating_mul(AIM_US) / us.max(1);
    u32::try_from(wanted).unwrap_or(PASSES_MAX).clamp(passes, PASSES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_added_on_fast_machines_and_never_taken_away() {
        assert_eq!(passes_for(3, 150_000), 6);
        assert_eq!(passes_for(3, 900_000), 3);
        assert_eq!(passes_for(3, 299_000), 3);
        assert_eq!(passes_for(3, 0), PASSES_MAX);
        assert_eq!(passes_for(3, -5), PASSES_MAX);
    }
}
