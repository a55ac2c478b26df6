//! The size mix of DESIGN section 10: the longest series of each (source, metric), the first 20 of them.

use std::collections::BTreeMap;

/// One series to be tiled.
pub(crate) struct BenchSeries {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

const COUNT: usize = 20;

/// Returns the series and where they come from.
pub(crate) fn mix() -> (Vec<BenchSeries>, &'static str) {
    match std::env::var_os("RUNCELLAR_BENCH_SERIES") {
        Some(path) => (real(&std::fs::read(path).expect("RUNCELLAR_BENCH_SERIES can be read")), "real series"),
        None => (generated(), "generated series"),
    }
}

fn real(packed: &[u8]) -> Vec<BenchSeries> {
    let text = zstd::stream::decode_all(packed).expect("zstd");
    let mut longest: BTreeMap<(String, String), (String, Vec<f64>)> = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let object: serde_json::Value = serde_json::from_slice(line).expect("a JSON object a line");
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let number = |value: &serde_json::Value| match value.as_str() {
            Some("NaN") | None if value.is_string() => f64::NAN,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            _ => value.as_f64().unwrap_or(f64::NAN),
        };
        let values: Vec<f64> = object["value"].as_array().into_iter().flatten().map(number).collect();
        let entry = longest.entry((text("source"), text("metric"))).or_default();
        if values.len() > entry.1.len() || (values.len() == entry.1.len() && text("run") < entry.0) {
            *entry = (text("run"), values);
        }
    }
    let mut all: Vec<_> = longest.into_iter().collect();
    all.sort_by(|left, right| {
        let by_length = right.1.1.len().cmp(&left.1.1.len());
        by_length.then_with(|| (&left.0.0, &left.1.0, &left.0.1).cmp(&(&right.0.0, &right.1.0, &right.0.1)))
    });
    let name = |index: usize, metric: String| format!("{index:02}/{metric}");
    let named = |(index, ((_, metric), (_, values)))| BenchSeries { name: name(index, metric), values };
    all.into_iter().take(COUNT).enumerate().map(named).collect()
}

/// Series of the same classes: float32 losses, decimal metrics, counters, schedules, noise.
fn generated() -> Vec<BenchSeries> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..COUNT)
        .map(|index| {
            let value = |step: usize| {
                let progress = step as f64 / 10_000.0;
                match index % 5 {
                    0 => f64::from((2.0 * (-4.0 * progress).exp() + 0.1 * noise()) as f32),
                    1 => ((0.9 - 0.5 * (-6.0 * progress).exp() + 0.02 * noise()) * 1e4).round() / 1e4,
                    2 => (step * 32) as f64,
                    3 => f64::from((1e-3 * (1.0 - progress)) as f32),
                    _ => f64::from(noise() as f32),
                }
            };
            BenchSeries { name: format!("{index:02}/generated"), values: (0..10_000).map(value).collect() }
        })
        .collect()
}
