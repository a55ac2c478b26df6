//! Secrets of slots: key file, passphrase through Argon2id, recovery code.

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::secret::Secret;

const WHAT: &str = "Argon2 parameters";

/// Salt and cost of Argon2id (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    /// Random salt.
    pub salt: [u8; 16],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Params {
    /// Least memory in KiB: below, a stolen file is guessed on common cards; a smaller value is a downgrade.
    pub const MEMORY_KIB_MIN: u32 = 19 << 10;
    /// Most memory in KiB: 4 GiB. A hostile file cannot ask for a terabyte, as this is checked before allocation.
    pub const MEMORY_KIB_MAX: u32 = 4 << 20;
    const PASSES_MAX: u32 = 64;
    const LANES_MAX: u32 = 16;

    /// Returns the default cost with a random salt: 64 MiB, 3 passes, 1 lane (DESIGN of RFC 9106, second choice).
    #[must_use]
    pub fn default_cost(salt: [u8; 16]) -> Self {
        Argon2Params { salt, memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(28);
        out.raw(&self.salt).u32(self.memory_kib).u32(self.passes).u32(self.lanes);
        out.into_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let salt = reader.array()?;
        let params = Argon2Params { salt, memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
        reader.finish()?;
        params.check()?;
        Ok(params)
    }

    fn check(&self) -> Result<()> {
        let over =
            |found: u32, limit: u32| Err(FormatError::Limit { what: WHAT, found: found.into(), limit: limit.into() });
        if self.memory_kib > Self::MEMORY_KIB_MAX {
            return over(self.memory_kib, Self::MEMORY_KIB_MAX);
        }
        if self.passes > Self::PASSES_MAX {
            return over(self.passes, Self::PASSES_MAX);
        }
        if self.lanes > Self::LANES_MAX {
            return over(self.lanes, Self::LANES_MAX);
        }
        if self.memory_kib < Self::MEMORY_KIB_MIN || self.passes == 0 || self.lanes == 0 {
            return Err(FormatError::Malformed { what: WHAT, reason: "cost is below the floor" });
        }
        Ok(())
    }
}

/// The secret of a slot, ready to derive its pair.
pub struct SlotSecret {
    secret: Secret,
    /// The secret of the key file, of two factors.
    key: Option<Secret>,
    argon2: Option<Argon2Params>,
}

impl SlotSecret {
    /// Takes the 32 bytes of a key file.
    #[must_use]
    pub fn key_file(secret: Secret) -> Self {
        SlotSecret { secret, key: None, argon2: None }
    }

    /// Takes the 32 bytes that a keychain keeps.
    #[must_use]
    pub fn keychain(secret: Secret) -> Self {
        SlotSecret { secret, key: None, argon2: None }
    }

    /// Takes a passphrase and the 32 bytes of a key file, which only open together. As [`SlotSecret::passphrase`].
    ///
    /// # Errors
    /// As [`SlotSecret::passphrase`].
    pub fn two_factor(passphrase: &[u8], params: Argon2Params, key: Secret) -> Result<Self> {
        Ok(SlotSecret { key: Some(key), ..Self::passphrase(passphrase, params)? })
    }

    /// Returns the same with the secret of another key file.
    #[must_use]
    pub fn with_key(&self, key: Secret) -> Self {
        SlotSecret { secret: self.secret.duplicate(), key: Some(key), argon2: self.argon2 }
    }

    /// Stretches a passphrase, which the caller has brought to Unicode NFC. Takes the memory and time that `params`
    /// say.
    ///
    /// # Errors
    /// [`FormatError::Limit`] or [`FormatError::Malformed`] for parameters out of bounds, before any allocation.
    pub fn passphrase(passphrase: &[u8], params: Argon2Params) -> Result<Self> {
        params.check()?;
        let malformed = |_| FormatError::Malformed { what: WHAT, reason: "refused by Argon2" };
        let cost = argon2::Params::new(params.memory_kib, params.passes, params.lanes, Some(32)).map_err(malformed)?;
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost);
        let mut out = zeroize::Zeroizing::new([0; 32]);
        argon2.hash_password_into(passphrase, &params.salt, &mut *out).map_err(malformed)?;
        Ok(SlotSecret { secret: Secret::new(*out), key: None, argon2: Some(params) })
    }

    /// Takes the 160 random bits of a recovery code.
    #[must_use]
    pub fn recovery(code: &[u8; 20]) -> Self {
        let secret = zeroize::Zeroizing::new(blake3::derive_key("runcellar 1 recovery code", code));
        SlotSecret { secret: Secret::new(*secret), key: None, argon2: None }
    }

    /// Returns the secret from which the slot's pair is derived.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Returns the secret of the key file, of two factors.
    #[must_use]
    pub fn key_of_two(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    pub(super) fn argon2(&self) -> Option<Argon2Params> {
        self.argon2
    }
}

/// Crockford's alphabet: no I, L, O or U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP: usize = 5;
const CODE_DIGITS: usize = 32;
const CHECK_DIGITS: usize = 3;

/// Writes 160 bits as 32 digits of Crockford's base32 and three check digits, in groups of five.
#[must_use]
pub fn format_recovery_code(code: &[u8; 20]) -> String {
    let digits: Vec<u8> = base32(code).into_iter().chain(check_digits(code)).collect();
    let groups: Vec<String> = digits.chunks(GROUP).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join("-")
}

/// Reads a recovery code as people type it: any case, with or without dashes and spaces, O for 0, I and L for 1.
///
/// Returns `None` if it is no code or its check digits do not fit.
#[must_use]
pub fn parse_recovery_code(text: &str) -> Option<[u8; 20]> {
    let mut values = Vec::with_capacity(CODE_DIGITS + CHECK_DIGITS);
    for letter in text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-') {
        let letter = match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        values.push(DIGITS.iter().position(|digit| char::from(*digit) == letter)? as u8);
    }
    if values.len() != CODE_DIGITS + CHECK_DIGITS {
        return None;
    }
    let mut code = [0; 20];
    let (data, check) = values.split_at(CODE_DIGITS);
    for (bytes, digits) in code.chunks_exact_mut(5).zip(data.chunks_exact(8)) {
        let bits = digits.iter().fold(0_u64, |bits, digit| bits << 5 | u64::from(*digit));
        bytes.copy_from_slice(bits.to_be_bytes().get(3..)?);
    }
    let expected = check_digits(&code).map(|digit| DIGITS.iter().position(|known| *known == digit));
    (check.iter().map(|digit| Some(usize::from(*digit))).eq(expected)).then_some(code)
}

fn base32(code: &[u8; 20]) -> Vec<u8> {
    let mut out = Vec::with_capacity(CODE_DIGITS);
    for bytes in code.chunks_exact(5) {
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        out.extend((0..8).rev().map(|place| DIGITS[(bits >> (5 * place) & 31) as usize]));
    }
    out
}

fn check_digits(code: &[u8; 20]) -> [u8; CHECK_DIGITS] {
    let hash = blake3::hash(code);
    let hash = hash.as_bytes();
    [hash[0], hash[1], hash[2]].map(|byte| DIGITS[usize::from(byte & 31)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_survives_how_people_type_it() {
        let code = *b"\x00\x01\x02\x03\xff\xfe\xfd\x80\x7f\x10twenty byt";
        let text = format_recovery_code(&code);
        assert_eq!(text.len(), 35 + 6);
        assert_eq!(parse_recovery_code(&text), Some(code));
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert_eq!(parse_recovery_code(&typed), Some(code));
        let wrong = if text.starts_with('2') { "3" } else { "2" };
        assert_eq!(parse_recovery_code(&format!("{wrong}{}", &text[1..])), None);
        assert_eq!(parse_recovery_code(&text[1..]), None);
        assert_eq!(parse_recovery_code("my passphrase"), None);
    }

    #[test]
    fn argon2_bounds_are_checked_before_memory_is_taken() {
        let params = Argon2Params::default_cost([1; 16]);
        let terabyte = Argon2Params { memory_kib: 1 << 30, ..params };
        assert!(matches!(SlotSecret::passphrase(b"x", terabyte), Err(FormatError::Limit { .. })));
        let weak = Argon2Params { memory_kib: 8, ..params };
        assert!(matches!(SlotSecret::passphrase(b"x", weak), Err(FormatError::Malformed { .. })));
        assert!(Argon2Params::decode(&terabyte.encode()).is_err());
        assert_eq!(Argon2Params::decode(&params.encode()), Ok(params));
    }
}
