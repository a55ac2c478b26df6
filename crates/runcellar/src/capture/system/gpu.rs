//! GPUs through NVML, the driver's own library, which is loaded at run time. Without a driver there is nothing, and
//! nothing is said.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use runcellar_format::value::Value;

use super::{Found, add, add_bytes};

/// GPUs that are looked at.
const GPUS_MAX: u32 = 64;

/// The driver's library, if there is one.
pub(super) struct Gpus {
    nvml: Option<Nvml>,
}

impl Gpus {
    pub(super) fn find() -> Gpus {
        Gpus { nvml: Nvml::init().ok() }
    }

    pub(super) fn levels(&self, found: &mut Found) {
        let Some(nvml) = &self.nvml else { return };
        for index in 0..nvml.device_count().unwrap_or(0).min(GPUS_MAX) {
            let Ok(gpu) = nvml.device_by_index(index) else { continue };
            let name = |what: &str| format!("gpu{index}/{what}");
            if let Ok(use_) = gpu.utilization_rates() {
                add(found, &name("use"), Value::Float(use_.gpu.into()));
            }
            if let Ok(memory) = gpu.memory_info() {
                add_bytes(found, &name("memory"), memory.used);
            }
            if let Ok(degrees) = gpu.temperature(TemperatureSensor::Gpu) {
                add(found, &name("temperature"), Value::Int(degrees.into()));
            }
            if let Ok(milliwatts) = gpu.power_usage() {
                add(found, &name("power"), Value::Float(f64::from(milliwatts / 100) / 10.0));
            }
        }
    }
}
