//! zstd frames: one whole frame that says how long its content is, and nothing before or after it.

use std::cell::RefCell;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, ParamSwitch, Strategy, find_frame_compressed_size, get_frame_content_size,
};

use crate::error::{FormatError, Result};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Compresses bytes, unless that does not make them smaller.
pub(crate) fn pack(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    zstd::bulk::compress(bytes, level).ok().filter(|packed| packed.len() < bytes.len())
}

/// Decompresses a frame whose content is at most `limit` bytes long, which is checked before any is made.
///
/// # Errors
/// [`FormatError::Malformed`] if it is not one whole frame or zstd refuses it, [`FormatError::Limit`].
pub(crate) fn unpack(what: &'static str, bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
    let malformed = |reason| FormatError::Malformed { what, reason };
    // Skippable frames are frames too, to zstd.
    if !bytes.starts_with(&MAGIC) || find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return Err(malformed("not one whole zstd frame"));
    }
    let Ok(Some(content)) = get_frame_content_size(bytes) else {
        return Err(malformed("zstd frame does not say how long its content is"));
    };
    let len = usize::try_from(content).unwrap_or(usize::MAX);
    if len > limit {
        return Err(FormatError::Limit { what, found: content, limit: limit as u64 });
    }
    match zstd::bulk::decompress(bytes, len) {
        Ok(plain) if plain.len() == len => Ok(plain),
        _ => Err(malformed("zstd refuses the bytes")),
    }
}

/// How the frames of chunks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// By a level of zstd.
    Level(i32),
    /// Without looking for repetitions: bytes that are frequent take fewer bits. For what is noise but for that, such as
    /// the exponents of weights, repetitions are chance, and taking them up makes the frame longer.
    Literals,
}

impl Method {
    /// Makes a compressor. No parameter is out of its bounds.
    fn compressor(self) -> CCtx<'static> {
        let mut context = CCtx::create();
        let set: &[CParameter] = match self {
            Method::Level(level) => &[CParameter::CompressionLevel(level)],
            Method::Literals => &[
                CParameter::CompressionLevel(1),
                CParameter::Strategy(Strategy::ZSTD_fast),
                CParameter::TargetLength(131_072),
                CParameter::HashLog(6),
                CParameter::MinMatch(7),
                CParameter::LiteralCompressionMode(ParamSwitch::Enable),
            ],
        };
        for parameter in set {
            context.set_parameter(*parameter).expect("within the bounds of zstd");
        }
        context
    }
}

thread_local! {
    /// Compressors of this thread by their methods, two or three: to make one costs more than to pack a small chunk.
    static COMPRESSORS: RefCell<Vec<(Method, CCtx<'static>)>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Appends a frame of `bytes` and returns true, if it is smaller than they are; else appends nothing.
pub(crate) fn pack_into(bytes: &[u8], method: Method, out: &mut Vec<u8>) -> bool {
    let from = out.len();
    out.resize(from + bytes.len().saturating_sub(1), 0);
    let packed = COMPRESSORS.with_borrow_mut(|all| {
        let at = all.iter().position(|(of, _)| *of == method).unwrap_or_else(|| {
            all.push((method, method.compressor()));
            all.len() - 1
        });
        all[at].1.compress2(&mut out[from..], bytes)
    });
    out.truncate(from + packed.unwrap_or_default());
    packed.is_ok()
}

/// Fills `out` with the content of a frame, which is exactly as long; what is in it is not said if the frame is refused.
///
/// # Errors
/// [`FormatError::Malformed`] if it is not one whole frame of such content.
pub(crate) fn unpack_exactly(what: &'static str, bytes: &[u8], out: &mut [u8]) -> Result<()> {
    let malformed = |reason| Err(FormatError::Malformed { what, reason });
    if !bytes.starts_with(&MAGIC) || find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return malformed("not one whole zstd frame");
    }
    if !matches!(get_frame_content_size(bytes), Ok(Some(said)) if said == out.len() as u64) {
        return malformed("zstd content of another length");
    }
    match DECOMPRESSOR.with_borrow_mut(|context| context.decompress(out, bytes)) {
        Ok(len) if len == out.len() => Ok(()),
        _ => malformed("zstd refuses the bytes"),
    }
}
