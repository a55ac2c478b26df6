//! Pixels: copied from an array in the training thread, made a PNG behind it.

#![allow(unsafe_code, reason = "an array's memory is copied at its address")]

use pyo3::prelude::*;
use runcellar::MediaContent;

use crate::error;

/// Pixels of one image at most: what 256 MiB hold of RGBA.
const PIXELS_MAX: usize = 64 << 20;

/// What numbers pixels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Bool,
    U8,
    U16,
    F32,
    F64,
}

impl Number {
    /// Returns the type of a name of numpy's, in the order of bytes of this machine.
    fn of(name: &str) -> Option<Number> {
        let native = if cfg!(target_endian = "big") { '>' } else { '<' };
        match name.split_at_checked(1)? {
            ("|", "b1") => Some(Number::Bool),
            ("|", "u1") => Some(Number::U8),
            (order, kind) if order.starts_with(native) => match kind {
                "u2" => Some(Number::U16),
                "f4" => Some(Number::F32),
                "f8" => Some(Number::F64),
                _ => None,
            },
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Number::Bool | Number::U8 => 1,
            Number::U16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }
}

/// The pixels of an image.
pub(super) struct Pixels {
    number: Number,
    height: usize,
    width: usize,
    channels: usize,
    /// One channel after the other, rather than one pixel after the other.
    planar: bool,
    data: Vec<u8>,
}

impl Pixels {
    /// Copies an array's pixels.
    pub(super) fn copy(array: &Bound<'_, PyAny>, planar: bool) -> PyResult<Pixels> {
        let py = array.py();
        let refused = |message: String| error::invalid(py, message);
        let interface = array.getattr("__array_interface__")?;
        let name: String = interface.get_item("typestr")?.extract()?;
        let shape: Vec<usize> = interface.get_item("shape")?.extract()?;
        let (address, _): (usize, bool) = interface.get_item("data")?.extract()?;
        let number = Number::of(&name).ok_or_else(|| refused(format!("pixels of type {name}")))?;
        let (height, width, channels) = match *shape {
            [height, width] => (height, width, 1),
            [channels, height, width] if planar => (height, width, channels),
            [height, width, channels] if !planar => (height, width, channels),
            _ => return Err(refused(format!("an image of shape {shape:?}: (h, w) or (h, w, c) is expected"))),
        };
        let count = height.checked_mul(width).filter(|count| (1..=PIXELS_MAX).contains(count));
        let count =
            count.ok_or_else(|| refused(format!("an image of {height} x {width}: 1 to {PIXELS_MAX} pixels")))?;
        if ![1, 2, 3, 4].contains(&channels) {
            return Err(refused(format!("an image of {channels} channels: 1 to 4 are expected")));
        }
        if !interface.get_item("strides")?.is_none() {
            return Err(refused("pixels that do not lie one after the other".to_owned()));
        }
        let len = count * channels * number.bytes();
        // SAFETY: the array says that so many bytes lie at this address one after the other, the caller holds it, and the
        // interpreter's lock keeps Python code from changing it meanwhile.
        let data =
            unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(address), len) }.to_vec();
        Ok(Pixels { number, height, width, channels, planar, data })
    }

    /// Returns the samples as a PNG has them, in 8 or 16 bits.
    fn samples(&self) -> (Vec<u8>, png::BitDepth) {
        let depth = if self.number == Number::U16 { png::BitDepth::Sixteen } else { png::BitDepth::Eight };
        let samples = match self.number {
            Number::Bool => self.data.iter().map(|value| if *value == 0 { 0 } else { 255 }).collect(),
            Number::U8 => self.data.clone(),
            Number::U16 => {
                self.data.as_chunks::<2>().0.iter().flat_map(|value| u16::from_ne_bytes(*value).to_be_bytes()).collect()
            }
            Number::F32 => bytes_of(self.data.as_chunks::<4>().0, |value| f64::from(f32::from_ne_bytes(value))),
            Number::F64 => bytes_of(self.data.as_chunks::<8>().0, f64::from_ne_bytes),
        };
        let interleave = self.planar && self.channels > 1;
        let samples = if interleave { self.interleaved(&samples, self.sample_bytes()) } else { samples };
        (samples, depth)
    }

    fn sample_bytes(&self) -> usize {
        if self.number == Number::U16 { 2 } else { 1 }
    }

    fn interleaved(&self, planes: &[u8], bytes: usize) -> Vec<u8> {
        let plane = self.height * self.width * bytes;
        let mut out = Vec::with_capacity(planes.len());
        for at in (0..plane).step_by(bytes) {
            for channel in 0..self.channels {
                let from = channel * plane + at;
                out.extend_from_slice(planes.get(from..from + bytes).unwrap_or_default());
            }
        }
        out
    }
}

/// Brings floats to 0 to 255: as they are if they are not all from -1 to 1, else what is from 0 to 1 or from -1 to 1 is
/// stretched. NaN is 0.
fn bytes_of<const N: usize>(values: &[[u8; N]], float: impl Fn([u8; N]) -> f64) -> Vec<u8> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.iter().map(|value| float(*value)).filter(|value| value.is_finite()) {
        (least, most) = (least.min(value), most.max(value));
    }
    let (shift, scale) = match () {
        () if least >= 0.0 && most <= 1.0 => (0.0, 255.0),
        () if least >= -1.0 && most <= 1.0 => (1.0, 127.5),
        () => (0.0, 1.0),
    };
    // A cast of floats saturates, and takes NaN for 0.
    values.iter().map(|value| ((float(*value) + shift) * scale).round() as u8).collect()
}

impl MediaContent for Pixels {
    fn cost(&self) -> u64 {
        self.data.len() as u64
    }

    fn make(&self) -> Result<Vec<u8>, String> {
        let (samples, depth) = self.samples();
        let size = |len: usize| u32::try_from(len).map_err(|error| error.to_string());
        let mut out = Vec::with_capacity(samples.len() / 2 + 1024);
        let mut encoder = png::Encoder::new(&mut out, size(self.width)?, size(self.height)?);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            2 => png::ColorType::GrayscaleAlpha,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder.set_depth(depth);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
        writer.write_image_data(&samples).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())?;
        Ok(out)
    }
}
