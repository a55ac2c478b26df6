//! The table of `Workspace.artifacts()`.

use runcellar::ArtifactVersion;

use super::frame::{Cells, Column, Frame};

pub(super) fn frame(versions: &[ArtifactVersion]) -> Frame {
    let texts = |of: &dyn Fn(&ArtifactVersion) -> String| Cells::Text(versions.iter().map(of).collect());
    let ints =
        |of: fn(&ArtifactVersion) -> u64| Cells::ints(versions.iter().map(|one| of(one).cast_signed()).collect());
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let optional = |name: &str, of: &dyn Fn(&ArtifactVersion) -> Option<String>| {
        Column::optional(name, versions.iter().map(of).collect(), Cells::Text)
    };
    let columns = vec![
        Column::new("name", texts(&|one| one.name.clone())),
        Column::new("project", texts(&|one| one.project.clone())),
        Column::new("version", texts(&ArtifactVersion::version)),
        optional("type", &|one| some(&one.kind)),
        Column::new("digest", texts(&|one| one.digest.clone())),
        Column::new("size", ints(|one| one.bytes)),
        Column::new("files", ints(|one| one.files)),
        Column::new("created", Cells::times(versions.iter().map(|one| one.created).collect())),
        Column::new("aliases", Cells::Texts(versions.iter().map(|one| one.aliases.clone()).collect())),
        optional("links_to", &|one| one.links_to.clone()),
        optional("description", &|one| some(&one.description)),
        Column::new("metadata", Cells::Json(versions.iter().map(|one| one.metadata.clone()).collect())),
    ];
    Frame { rows: versions.len(), columns, sampled: false }
}
