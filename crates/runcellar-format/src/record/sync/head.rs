//! Heads: how far a device has published. And root keys that devices replaced.

use bincode::{Decode, Encode};

use super::{extra_array, extra_ids, set_extra_bytes, set_extra_ids};
use crate::record::Body;

/// `Settings.extra`: root keys that were replaced beside others of the same number, [`Siblings`].
pub const SIBLINGS_FIELD: u16 = 18;
/// `Settings.extra`: for root keys that this device replaced, what shows others that it had them, [`Vouchers`].
pub const VOUCHERS_OF_SETTINGS_FIELD: u16 = 20;
/// The most vouchers that a device keeps: those of the latest root keys.
pub const VOUCHERS_MAX: usize = 64;

/// `DeviceHead.extra`: number of the first segment that there is, as bytes; 1 without it.
const FIRST_FIELD: u16 = 1;
/// `DeviceHead.extra`: BLAKE3 of the device's welcome.
const WELCOME_FIELD: u16 = 2;
/// `DeviceHead.extra`: for root keys that its device replaced, the id of the epoch and the voucher, 48 bytes each.
const VOUCHERS_FIELD: u16 = 3;
/// `DeviceHead.extra`: ids of the devices at which its device left content until it is read; there, if it leaves content at all.
const LEFT_FIELD: u16 = 4;

/// How far a device has published.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct DeviceHead {
    /// The device.
    pub device: [u8; 16],
    /// Its last segment.
    pub number: u64,
    /// BLAKE3 of that segment, sealed; zeros before the first.
    pub segment: [u8; 32],
    /// Keyed sum over all rows that these segments leave, as the root row of their replica has it.
    pub sum: [u8; 32],
    /// The live epoch of the device.
    pub epoch: u64,
    /// Its id.
    pub epoch_id: [u8; 16],
    /// Heads of other devices that this one has seen: what it published may rest on theirs.
    pub cites: Vec<Cited>,
    /// Hybrid clock of the device.
    pub clock: u64,
    /// The device's Ed25519 key.
    pub public: [u8; 32],
    /// Signature over the body with this field empty.
    pub signature: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for DeviceHead {
    const NAME: &'static str = "device head";
}

impl DeviceHead {
    /// Returns the number of the first segment that there is: those before are of an earlier generation.
    #[must_use]
    pub fn first(&self) -> u64 {
        extra_array(&self.extra, FIRST_FIELD).map_or(1, u64::from_le_bytes)
    }

    /// Says which is the first segment.
    pub fn set_first(&mut self, number: u64) {
        set_extra_bytes(&mut self.extra, FIRST_FIELD, &number.to_le_bytes());
    }

    /// Returns the hash of the welcome that belongs to it.
    #[must_use]
    pub fn welcome(&self) -> Option<[u8; 32]> {
        extra_array(&self.extra, WELCOME_FIELD)
    }

    /// Says which welcome belongs to it.
    pub fn set_welcome(&mut self, hash: &[u8; 32]) {
        set_extra_bytes(&mut self.extra, WELCOME_FIELD, hash);
    }

    /// Returns the voucher under the root key of an epoch, if its device had that.
    #[must_use]
    pub fn voucher(&self, epoch: [u8; 16]) -> Option<[u8; 32]> {
        let (_, bytes) = self.extra.iter().find(|(field, _)| *field == VOUCHERS_FIELD)?;
        let all = bytes.as_chunks::<48>().0;
        all.iter().find_map(|known| known.strip_prefix(&epoch)?.try_into().ok())
    }

    /// Puts in vouchers: ids of epochs with theirs.
    pub fn set_vouchers(&mut self, vouchers: &[([u8; 16], [u8; 32])]) {
        if !vouchers.is_empty() {
            let bytes: Vec<u8> = vouchers.iter().flat_map(|(epoch, voucher)| [&epoch[..], voucher].concat()).collect();
            set_extra_bytes(&mut self.extra, VOUCHERS_FIELD, &bytes);
        }
    }

    /// Returns the devices at which its device left content until it is read; none if it has all that it tells of.
    #[must_use]
    pub fn left(&self) -> Option<Vec<[u8; 16]>> {
        extra_ids(&self.extra, LEFT_FIELD)
    }

    /// Says so.
    pub fn set_left(&mut self, devices: Option<&[[u8; 16]]>) {
        set_extra_ids(&mut self.extra, LEFT_FIELD, devices);
    }
}

/// A head of another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Cited {
    /// Where the device publishes.
    pub prefix: [u8; 16],
    /// Its last segment.
    pub number: u64,
    /// BLAKE3 of it.
    pub segment: [u8; 32],
}

/// Epochs that two devices began at once: of two with one number the table `epoch` has one, and these are the others. What was
/// erased with them is erased with a later one, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Siblings {
    /// Number, id and parent of each.
    pub epochs: Vec<(u64, [u8; 16], [u8; 16])>,
}

impl Body for Siblings {
    const NAME: &'static str = "siblings of epochs";
}

/// What shows whoever still has a root key which this device replaced that it had that, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Vouchers {
    /// Id of the epoch, and voucher; the latest last.
    pub all: Vec<([u8; 16], [u8; 32])>,
}

impl Body for Vouchers {
    const NAME: &'static str = "vouchers";
}
