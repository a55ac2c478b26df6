//! One way to unlock a workspace: a pair derived from a secret, to which the epoch keys are sealed.

use super::{Argon2Params, Epoch, SlotSecret};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{EpochId, SlotId, WorkspaceId};
use crate::pair::{PAIR_SUITE, Pair, PublicHalf, SEAL_BYTES};
use crate::seal::{checksum, constant_time_eq};
use crate::secret::Secret;

const WHAT: &str = "slot";
const SEAL_LABEL: &[u8] = b"runcellar 1 slot";
const SECOND_EPHEMERAL: &str = "runcellar 1 second ephemeral";
const PARAMS_BYTES_MAX: u32 = 64;

/// How a slot is unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SlotKind {
    /// A key file on this machine.
    KeyFile = 1,
    /// A passphrase.
    Passphrase = 2,
    /// A passphrase and a key file, both needed.
    TwoFactor = 3,
    /// A recovery code on paper.
    Recovery = 4,
    /// A secret in the keychain of the operating system.
    Keychain = 5,
    /// The key file of another device.
    Device = 6,
}

impl SlotKind {
    /// Returns the word that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SlotKind::KeyFile => "key-file",
            SlotKind::Passphrase => "passphrase",
            SlotKind::TwoFactor => "two-factor",
            SlotKind::Recovery => "recovery",
            SlotKind::Keychain => "keychain",
            SlotKind::Device => "device",
        }
    }

    /// Returns true if its secret, or one of its two, stands in a key file.
    #[must_use]
    pub fn has_key_file(self) -> bool {
        matches!(self, SlotKind::KeyFile | SlotKind::TwoFactor | SlotKind::Device)
    }

    /// Returns true if its secret, or one of its two, is a passphrase.
    #[must_use]
    pub fn has_passphrase(self) -> bool {
        matches!(self, SlotKind::Passphrase | SlotKind::TwoFactor)
    }

    /// Returns the length of a sealed epoch key: two factors seal it twice.
    fn sealed_bytes(self) -> u32 {
        let layers = if self == SlotKind::TwoFactor { 2 } else { 1 };
        32 + layers * SEAL_BYTES as u32
    }

    fn from_u8(kind: u8) -> Option<Self> {
        [Self::KeyFile, Self::Passphrase, Self::TwoFactor, Self::Recovery, Self::Keychain, Self::Device]
            .into_iter()
            .find(|known| *known as u8 == kind)
    }
}

/// An epoch key, sealed to the pair of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// Public half; for two factors that of the passphrase, the outer one.
    pub public: PublicHalf,
    /// For two factors the public half of the key file's secret, the inner one.
    pub inner: Option<PublicHalf>,
    /// The epoch key.
    pub sealed: Vec<u8>,
}

/// One way to unlock the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Random id.
    pub id: SlotId,
    /// How it is unlocked.
    pub kind: SlotKind,
    /// Salt and cost of a passphrase; none for kinds without.
    pub argon2: Option<Argon2Params>,
    /// For each of [`super::Keyslots::epochs`] its key; none if this slot does not open that epoch. While the root key
    /// is replaced, a key file has a secret for the old epoch and another for the new one.
    pub halves: Vec<Option<Half>>,
}

impl Slot {
    /// Makes a slot that opens with `secret`, with the epoch key sealed in it. `ephemeral` is fresh random bytes.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the secret is not of that kind.
    pub fn new(
        workspace: WorkspaceId,
        id: SlotId,
        kind: SlotKind,
        secret: &SlotSecret,
        epoch: (EpochId, &Secret),
        ephemeral: [u8; 32],
    ) -> Result<Slot> {
        if secret.argon2().is_some() != kind.has_passphrase()
            || secret.key_of_two().is_some() != (kind == SlotKind::TwoFactor)
        {
            return Err(FormatError::Malformed { what: WHAT, reason: "a secret of another kind" });
        }
        let public = Pair::derive(secret.secret(), &id.0).public();
        let inner = secret.key_of_two().map(|key| Pair::derive(key, &id.0).public());
        let mut slot = Slot { id, kind, argon2: secret.argon2(), halves: Vec::new() };
        slot.push(workspace, (public, inner), epoch, ephemeral)?;
        Ok(slot)
    }

    /// Seals the key of one more epoch to the slot, with the public halves that it has for the last. No secret is
    /// needed but a new one of a key file, if that is to open the new epoch instead of the old one.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the last epoch is not this slot's to open, or it has no key file and one is given.
    pub fn add_epoch(
        &mut self,
        workspace: WorkspaceId,
        new_key: Option<&Secret>,
        epoch: (EpochId, &Secret),
        ephemeral: [u8; 32],
    ) -> Result<()> {
        let malformed = |reason| FormatError::Malformed { what: WHAT, reason };
        let last = self.halves.last().and_then(Option::as_ref);
        let last = last.ok_or_else(|| malformed("it does not open the epoch before"))?;
        let publics = match (new_key.map(|key| Pair::derive(key, &self.id.0).public()), self.kind) {
            (None, _) => (last.public, last.inner),
            (Some(key), SlotKind::TwoFactor) => (last.public, Some(key)),
            (Some(key), kind) if kind.has_key_file() => (key, None),
            (Some(_), _) => return Err(malformed("it has no key file")),
        };
        self.push(workspace, publics, epoch, ephemeral)
    }

    /// Makes the slot of another device: of the one that stands in its own file, with another epoch key, or the same, sealed
    /// to the public halves that it has there for the `index`-th epoch.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it does not open that epoch.
    pub fn of_device(
        workspace: WorkspaceId,
        theirs: &Slot,
        index: usize,
        epoch: (EpochId, &Secret),
        ephemeral: [u8; 32],
    ) -> Result<Slot> {
        let half = theirs.halves.get(index).and_then(Option::as_ref);
        let half = half.ok_or(FormatError::Malformed { what: WHAT, reason: "it does not open that epoch" })?;
        let kind = if theirs.kind == SlotKind::KeyFile { SlotKind::Device } else { theirs.kind };
        let mut slot = Slot { id: theirs.id, kind, argon2: theirs.argon2, halves: Vec::new() };
        slot.push(workspace, (half.public, half.inner), epoch, ephemeral)?;
        Ok(slot)
    }

    fn push(
        &mut self,
        workspace: WorkspaceId,
        (public, inner): (PublicHalf, Option<PublicHalf>),
        epoch: (EpochId, &Secret),
        ephemeral: [u8; 32],
    ) -> Result<()> {
        let place = self.place(workspace, epoch.0);
        let seal = |to: PublicHalf, text: &[u8], ephemeral| to.seal(WHAT, SEAL_LABEL, &place, text, ephemeral);
        let sealed = match inner {
            None => seal(public, epoch.1.expose(), ephemeral)?,
            Some(inner) => {
                let second = blake3::derive_key(SECOND_EPHEMERAL, &ephemeral);
                seal(public, &seal(inner, epoch.1.expose(), ephemeral)?, second)?
            }
        };
        self.halves.push(Some(Half { public, inner, sealed }));
        Ok(())
    }

    /// Returns true if the secret opens an epoch by this slot, as far as its public halves say.
    #[must_use]
    pub fn fits(&self, secret: &SlotSecret) -> bool {
        let pairs = Pairs::of(self, secret);
        self.halves.iter().flatten().any(|half| pairs.fit(half).is_ok())
    }

    /// Opens the keys of the epochs that the secret opens by this slot: one at least.
    ///
    /// # Errors
    /// [`FormatError::WrongKey`] if the secret is not this slot's (`key file` is wrong if only that half of two factors
    /// is); [`FormatError::Damaged`] if it is, and a sealed key does not open.
    pub fn open(
        &self,
        workspace: WorkspaceId,
        epochs: &[Epoch],
        secret: &SlotSecret,
    ) -> Result<Vec<(EpochId, Secret)>> {
        let pairs = Pairs::of(self, secret);
        let (mut opened, mut wrong) = (Vec::new(), FormatError::WrongKey { what: WHAT });
        for (epoch, half) in epochs.iter().zip(&self.halves) {
            let Some(half) = half else { continue };
            if let Err(what) = pairs.fit(half) {
                wrong = FormatError::WrongKey { what };
                continue;
            }
            let place = self.place(workspace, epoch.id);
            let open =
                |pair: &Pair, sealed: &[u8]| pair.open(WHAT, SEAL_LABEL, &place, sealed).map(zeroize::Zeroizing::new);
            let mut key = open(&pairs.outer, &half.sealed)?;
            if let Some(inner) = &pairs.inner {
                key = open(inner, &key)?;
            }
            opened.push((epoch.id, Secret::from_slice(&key).ok_or(FormatError::Damaged { what: WHAT })?));
        }
        if opened.is_empty() { Err(wrong) } else { Ok(opened) }
    }

    /// Returns true if one pair opens all epochs of the file.
    pub(super) fn is_plain(&self) -> bool {
        let publics = |half: &Half| (half.public, half.inner);
        let mut halves = self.halves.iter().map(|half| half.as_ref().map(publics));
        let first = halves.next().flatten();
        first.is_some() && halves.all(|half| half == first)
    }

    fn place(&self, workspace: WorkspaceId, epoch: EpochId) -> Vec<u8> {
        [&workspace.0[..], &self.id.0, &[self.kind as u8], &epoch.0].concat()
    }

    pub(super) fn encode(&self, plain: bool) -> Result<Vec<u8>> {
        let mut out = Writer::with_capacity(512);
        out.raw(&self.id.0).u8(self.kind as u8).u8(PAIR_SUITE);
        let params = self.argon2.map_or_else(Vec::new, |params| params.encode());
        out.bytes(WHAT, &params, PARAMS_BYTES_MAX)?;
        let sealed_bytes = self.kind.sealed_bytes();
        if plain {
            if let Some(half) = self.halves.first().and_then(Option::as_ref) {
                out.raw(&half.public.0).u8(u8::from(half.inner.is_some()));
                out.raw(half.inner.as_ref().map_or(&[][..], |inner| &inner.0));
            }
            for half in self.halves.iter().flatten() {
                out.bytes(WHAT, &half.sealed, sealed_bytes)?;
            }
        } else {
            for half in &self.halves {
                out.u8(u8::from(half.is_some()));
                if let Some(half) = half {
                    out.raw(&half.public.0).raw(half.inner.as_ref().map_or(&[][..], |inner| &inner.0));
                    out.raw(&half.sealed);
                }
            }
        }
        let checksum = checksum(out.as_slice());
        out.raw(&checksum[..8]);
        Ok(out.into_vec())
    }

    pub(super) fn decode(bytes: &[u8], epochs: usize, plain: bool) -> Result<Slot> {
        let damaged = FormatError::Damaged { what: WHAT };
        let (body, sum) = bytes.split_at_checked(bytes.len().saturating_sub(8)).ok_or(damaged.clone())?;
        if checksum(body).get(..8) != Some(sum) {
            return Err(damaged);
        }
        let mut reader = Reader::new(WHAT, body);
        let id = SlotId(reader.array()?);
        let kind = SlotKind::from_u8(reader.u8()?).ok_or_else(|| reader.malformed("unknown kind"))?;
        let suite = reader.u8()?;
        if suite != PAIR_SUITE {
            return Err(FormatError::UnknownSuite { what: WHAT, found: suite });
        }
        let params = reader.bytes(PARAMS_BYTES_MAX)?;
        let argon2 = match kind.has_passphrase() {
            true => Some(Argon2Params::decode(params)?),
            false if params.is_empty() => None,
            false => return Err(reader.malformed("unexpected parameters")),
        };
        let halves = if plain { plain_halves(&mut reader, kind, epochs)? } else { halves(&mut reader, kind, epochs)? };
        reader.finish()?;
        Ok(Slot { id, kind, argon2, halves })
    }
}

/// Halves of version 1: the public halves once, then all sealed keys.
fn plain_halves(reader: &mut Reader<'_>, kind: SlotKind, epochs: usize) -> Result<Vec<Option<Half>>> {
    let public = PublicHalf(reader.array()?);
    let inner = match (reader.u8()?, kind) {
        (1, SlotKind::TwoFactor) => Some(PublicHalf(reader.array()?)),
        (0, kind) if kind != SlotKind::TwoFactor => None,
        _ => return Err(reader.malformed("inner public half")),
    };
    let half = |_| {
        let sealed = reader.bytes(kind.sealed_bytes())?.to_vec();
        let whole = u32::try_from(sealed.len()) == Ok(kind.sealed_bytes());
        if whole {
            Ok(Some(Half { public, inner, sealed }))
        } else {
            Err(reader.malformed("sealed epoch key of another length"))
        }
    };
    (0..epochs).map(half).collect()
}

/// Halves of version 2: for each epoch whether it is opened, and then public halves and sealed key.
fn halves(reader: &mut Reader<'_>, kind: SlotKind, epochs: usize) -> Result<Vec<Option<Half>>> {
    let half = |_| match reader.u8()? {
        0 => Ok(None),
        1 => {
            let public = PublicHalf(reader.array()?);
            let inner = (kind == SlotKind::TwoFactor).then(|| reader.array().map(PublicHalf)).transpose()?;
            let sealed = reader.take(kind.sealed_bytes() as usize)?.to_vec();
            Ok(Some(Half { public, inner, sealed }))
        }
        _ => Err(reader.malformed("an epoch is opened or not")),
    };
    let halves: Vec<Option<Half>> = (0..epochs).map(half).collect::<Result<_>>()?;
    if halves.iter().all(Option::is_none) {
        return Err(reader.malformed("opens no epoch"));
    }
    Ok(halves)
}

/// The pairs of a secret, for one slot.
struct Pairs {
    outer: Pair,
    inner: Option<Pair>,
}

impl Pairs {
    fn of(slot: &Slot, secret: &SlotSecret) -> Pairs {
        let pair = |secret: &Secret| Pair::derive(secret, &slot.id.0);
        Pairs { outer: pair(secret.secret()), inner: secret.key_of_two().map(pair) }
    }

    /// Returns which of the secrets is wrong.
    fn fit(&self, half: &Half) -> Result<(), &'static str> {
        let same = |pair: &Pair, public: &PublicHalf| constant_time_eq(&pair.public().0, &public.0);
        match (&self.inner, &half.inner) {
            _ if !same(&self.outer, &half.public) => Err(WHAT),
            (None, None) => Ok(()),
            (Some(inner), Some(public)) if same(inner, public) => Ok(()),
            _ => Err("key file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);

    fn epochs() -> [Epoch; 2] {
        [1, 2].map(|number| Epoch { number, id: EpochId([number as u8; 16]), parent: EpochId::NIL })
    }

    fn cheap() -> Argon2Params {
        Argon2Params { salt: [9; 16], memory_kib: Argon2Params::MEMORY_KIB_MIN, passes: 1, lanes: 1 }
    }

    fn two(passphrase: &str, key: u8) -> SlotSecret {
        SlotSecret::two_factor(passphrase.as_bytes(), cheap(), Secret::new([key; 32])).expect("in bounds")
    }

    fn keys_of(slot: &Slot, secret: &SlotSecret) -> Result<Vec<u8>, FormatError> {
        Ok(slot.open(WORKSPACE, &epochs(), secret)?.iter().map(|(_, key)| key.expose()[0]).collect())
    }

    #[test]
    fn two_factors_need_both_and_say_which_is_wrong() {
        let key = (epochs()[0].id, &Secret::new([7; 32]));
        let slot =
            Slot::new(WORKSPACE, SlotId([5; 16]), SlotKind::TwoFactor, &two("open", 3), key, [6; 32]).expect("seals");
        let read = Slot::decode(&slot.encode(true).expect("short"), 1, true).expect("reads");
        assert_eq!(read, slot);
        assert_eq!(keys_of(&slot, &two("open", 3)), Ok(vec![7]));
        assert_eq!(keys_of(&slot, &two("other", 3)), Err(FormatError::WrongKey { what: "slot" }));
        assert_eq!(keys_of(&slot, &two("open", 4)), Err(FormatError::WrongKey { what: "key file" }));
        let alone = SlotSecret::passphrase(b"open", cheap()).expect("in bounds");
        assert_eq!(keys_of(&slot, &alone), Err(FormatError::WrongKey { what: "key file" }));
        let mixed = Slot::new(WORKSPACE, SlotId([5; 16]), SlotKind::Passphrase, &two("open", 3), key, [6; 32]);
        assert!(mixed.is_err());
    }

    #[test]
    fn a_new_key_file_opens_the_new_epoch_and_the_old_one_the_old() {
        let secret = |fill| SlotSecret::key_file(Secret::new([fill; 32]));
        let [old, new] = epochs().map(|epoch| epoch.id);
        let (first, second) = (Secret::new([7; 32]), Secret::new([8; 32]));
        let mut slot = Slot::new(WORKSPACE, SlotId([5; 16]), SlotKind::KeyFile, &secret(3), (old, &first), [6; 32])
            .expect("seals");
        let mut same = slot.clone();
        same.add_epoch(WORKSPACE, None, (new, &second), [4; 32]).expect("seals");
        assert_eq!((same.is_plain(), keys_of(&same, &secret(3))), (true, Ok(vec![7, 8])));
        slot.add_epoch(WORKSPACE, Some(&Secret::new([4; 32])), (new, &second), [4; 32]).expect("seals");
        let read = Slot::decode(&slot.encode(false).expect("short"), 2, false).expect("reads");
        assert_eq!((read.is_plain(), &read), (false, &slot));
        assert_eq!(keys_of(&slot, &secret(3)), Ok(vec![7]));
        assert_eq!(keys_of(&slot, &secret(4)), Ok(vec![8]));
        assert!(keys_of(&slot, &secret(5)).is_err());
        slot.halves[1] = None;
        let read = Slot::decode(&slot.encode(false).expect("short"), 2, false).expect("reads");
        assert_eq!((keys_of(&read, &secret(3)), read.is_plain()), (Ok(vec![7]), false));
        assert!(slot.add_epoch(WORKSPACE, None, (new, &second), [4; 32]).is_err(), "no half to go by");
    }
}
