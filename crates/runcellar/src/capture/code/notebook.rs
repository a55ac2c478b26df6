//! Notebooks as their cells: what was typed, without what came of it.

use serde_json::Value;

use super::FILE_BYTES_MAX;

/// The longest notebook that is read, in bytes: with its pictures, which are not kept.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// Returns a notebook (nbformat 3 and 4) without outputs, counts of execution, and attachments.
pub(super) fn without_outputs(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut notebook: Value = serde_json::from_slice(bytes).map_err(|_| "not a notebook".to_owned())?;
    let Value::Object(top) = &mut notebook else { return Err("not a notebook".to_owned()) };
    let mut cells: Vec<&mut Value> = Vec::new();
    for (name, part) in top {
        match (name.as_str(), part) {
            ("cells", Value::Array(all)) => cells.extend(all),
            ("worksheets", Value::Array(sheets)) => {
                let sheets = sheets.iter_mut().filter_map(|sheet| sheet.get_mut("cells"));
                cells.extend(sheets.filter_map(Value::as_array_mut).flatten());
            }
            _ => {}
        }
    }
    for cell in cells.into_iter().filter_map(Value::as_object_mut) {
        cell.remove("attachments");
        if cell.contains_key("outputs") {
            cell.insert("outputs".to_owned(), Value::Array(Vec::new()));
        }
        for count in ["execution_count", "prompt_number"] {
            if cell.contains_key(count) {
                cell.insert(count.to_owned(), Value::Null);
            }
        }
    }
    // One line a value, so that two versions can be compared.
    let text = serde_json::to_vec_pretty(&notebook).map_err(|error| error.to_string())?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(format!("over {} MiB without its outputs", FILE_BYTES_MAX >> 20)),
        false => Ok(text),
    }
}

/// Returns cells as one script, in the form that editors take apart again: `# %%` begins a cell.
pub(super) fn script(cells: &[String]) -> String {
    let cell = |cell: &String| format!("# %%\n{}\n", cell.trim_end());
    cells.iter().map(cell).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_keeps_what_was_typed_and_nothing_else() {
        let notebook = br#"{"nbformat": 4, "cells": [
            {"cell_type": "code", "source": ["x = 1\n", "x"], "execution_count": 7, "metadata": {},
             "outputs": [{"data": {"text/plain": ["secret output"]}}]},
            {"cell_type": "markdown", "source": "words", "attachments": {"a.png": {"image/png": "secret output"}}}]}"#;
        let kept = without_outputs(notebook).expect("a notebook");
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        assert_eq!(kept["cells"][0]["source"], serde_json::json!(["x = 1\n", "x"]));
        assert_eq!(
            (&kept["cells"][0]["outputs"], &kept["cells"][0]["execution_count"]),
            (&serde_json::json!([]), &Value::Null)
        );
        assert_eq!(kept["cells"][1]["source"], "words");
        assert!(!kept.to_string().contains("secret output"));
        let old = br#"{"worksheets": [{"cells": [{"input": "y", "outputs": ["secret output"], "prompt_number": 3}]}]}"#;
        let kept = String::from_utf8(without_outputs(old).expect("a notebook")).expect("UTF-8");
        assert!(kept.contains("\"y\"") && !kept.contains("secret output"));
    }

    #[test]
    fn what_is_no_notebook_is_left_out_whole() {
        for bytes in [&b"[]"[..], b"", b"{", b"\xff", &[b'['; 100_000]] {
            assert!(without_outputs(bytes).is_err());
        }
    }

    #[test]
    fn cells_become_a_script() {
        assert_eq!(script(&["x = 1\n".into(), "x".into()]), "# %%\nx = 1\n\n# %%\nx\n");
    }
}
