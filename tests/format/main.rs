//! The bytes of the format: golden vectors, properties of every decoder, the fuzz targets on stable, and the examples of
//! docs/FORMAT.md.

mod document;
mod fuzzing;
mod generate;
mod packs;
mod properties;
mod support;
mod vectors;
