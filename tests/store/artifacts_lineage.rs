//! What is known of versions beside their content: who made and used them, aliases, links, texts.

use runcellar::artifacts::{ArtifactDraft, GraphNode, GraphStart, PutReport, PutSettings, RemoveOptions, VersionText};
use runcellar::{CheckOptions, ErrorKind, RunInfo, Workspace, json};

use crate::support::Place;

fn put(workspace: &Workspace, name: &str, content: &[u8], run: Option<&RunInfo>) -> PutReport {
    let mut draft = ArtifactDraft::new(name, "model").expect("a name");
    draft.add_bytes("weights", content.to_vec()).expect("adds");
    let run = run.map(|run| run.id.clone());
    workspace
        .put_artifact(&draft, &PutSettings { project: "digits".into(), run, ..PutSettings::default() })
        .expect("puts")
}

fn run(workspace: &Workspace, name: &str) -> RunInfo {
    let run = workspace.run("digits").name(name).start().expect("starts");
    let id = run.id().to_owned();
    run.finish().expect("finishes");
    workspace.find_run(&id).expect("finds")
}

fn names(versions: &[runcellar::ArtifactVersion]) -> Vec<String> {
    versions.iter().map(runcellar::ArtifactVersion::full_name).collect()
}

#[test]
fn lineage_leads_from_a_dataset_to_all_that_came_from_it_and_back() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let [prepares, trains, distils, other] =
        ["prepares", "trains", "distils", "other"].map(|name| run(&workspace, name));
    let data = put(&workspace, "data", b"data", Some(&prepares)).version;
    workspace.use_version(&data, &trains).expect("uses");
    workspace.use_version(&data, &trains).expect("once is enough");
    let model = put(&workspace, "model", b"model", Some(&trains)).version;
    workspace.use_version(&workspace.artifact("model").expect("finds"), &distils).expect("uses");
    put(&workspace, "small", b"small", Some(&distils));
    put(&workspace, "other", b"other", Some(&other));

    let of = workspace.artifacts_of_run(&trains).expect("reads");
    assert_eq!((names(&of.made), names(&of.used)), (vec!["digits/model:v0".into()], vec!["digits/data:v0".into()]));
    let users = workspace.artifact("data").expect("finds").used_by;
    assert_eq!(users.len(), 1, "using it twice is one use");
    let runs = workspace.runs_of_version(&workspace.artifact("data").expect("finds")).expect("reads");
    assert_eq!((runs.made[0].name.as_str(), runs.used[0].name.as_str()), ("prepares", "trains"));

    let graph = workspace.artifact_graph(GraphStart::Version(&model)).expect("reads");
    let mut labels: Vec<String> = graph.nodes.iter().map(GraphNode::label).collect();
    labels.sort();
    let expected =
        ["digits/data:v0", "digits/distils", "digits/model:v0", "digits/prepares", "digits/small:v0", "digits/trains"];
    assert_eq!(labels, expected);
    assert_eq!(graph.nodes[graph.start].label(), "digits/model:v0");
    let mut edges: Vec<String> = graph
        .edges
        .iter()
        .map(|edge| {
            format!("{} {} {}", graph.nodes[edge.from].label(), graph.edge_kind(*edge), graph.nodes[edge.to].label())
        })
        .collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "digits/data:v0 used digits/trains",
            "digits/distils made digits/small:v0",
            "digits/model:v0 used digits/distils",
            "digits/prepares made digits/data:v0",
            "digits/trains made digits/model:v0",
        ]
    );
    let dot = graph.to_dot();
    assert!(dot.starts_with("digraph lineage {") && dot.contains("label=\"digits/model:v0\""), "{dot}");
    // Siblings are no lineage: what else the run that made the data made.
    put(&workspace, "beside", b"beside", Some(&prepares));
    let of_run = workspace.artifact_graph(GraphStart::Run(&trains)).expect("reads");
    assert!(of_run.nodes.iter().all(|node| node.label() != "digits/beside:v0"));
    assert_eq!(of_run.nodes.len(), 6);
}

#[test]
fn a_run_that_puts_the_same_content_again_made_it_too() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let (first, second) = (run(&workspace, "first"), run(&workspace, "second"));
    put(&workspace, "model", b"same", Some(&first));
    let again = put(&workspace, "model", b"same", Some(&second));
    assert!(!again.is_new);
    put(&workspace, "model", b"same", Some(&second));
    let workspace = place.open_silently();
    for run in [&first, &second] {
        assert_eq!(names(&workspace.artifacts_of_run(run).expect("reads").made), ["digits/model:v0"], "{}", run.name);
    }
    let version = workspace.artifact("model").expect("finds");
    assert_eq!((version.made_by.is_some(), version.made_again_by.len()), (true, 1));
}

#[test]
fn aliases_are_set_moved_and_taken_away_and_all_of_it_is_remembered() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let first = put(&workspace, "model", b"first", None).version;
    let second = put(&workspace, "model", b"second", None).version;
    let best = vec!["best".to_owned()];
    assert_eq!(workspace.tag_version(&first, &best, &[]).expect("tags").aliases, ["best"]);
    assert_eq!(workspace.tag_version(&second, &best, &[]).expect("tags").aliases, ["latest", "best"]);
    assert_eq!(workspace.artifact("model:best").expect("finds").number, 1);
    let wrong = workspace.tag_version(&first, &[], &best).expect_err("it does not name that version");
    assert_eq!(wrong.kind(), ErrorKind::NotFound);
    assert_eq!(workspace.tag_version(&second, &[], &best).expect("tags").aliases, ["latest"]);
    for alias in ["v7", "latest", "a/b", ""] {
        let wrong = workspace.tag_version(&second, &[alias.to_owned()], &[]).expect_err("is no alias");
        assert_eq!(wrong.kind(), ErrorKind::InvalidArgument, "{alias}");
    }
    workspace.tag_version(&second, &[], &["latest".to_owned()]).expect_err("stays");
    let history = place.open_silently().alias_history("model").expect("reads");
    let told: Vec<_> = history.iter().map(|change| (change.alias.as_str(), change.number)).collect();
    assert_eq!(told, [("best", Some(0)), ("best", Some(1)), ("best", None)]);
    assert!(history.windows(2).all(|pair| pair[0].time <= pair[1].time));
}

#[test]
fn a_collection_links_to_versions_of_other_projects_and_takes_no_space() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let first = put(&workspace, "model", b"first", None).version;
    let second = put(&workspace, "model", b"second", None).version;
    let production = vec!["production".to_owned()];
    let link = workspace.link_version(&second, "registry/best-model", &production).expect("links");
    assert_eq!(link.full_name(), "registry/best-model:v0");
    assert_eq!(link.aliases, ["latest", "production"]);
    assert_eq!(link.links_to.as_deref(), Some("digits/model:v1"));
    workspace.link_version(&first, "best-model", &[]).expect("links");
    assert_eq!(workspace.link_version(&second, "best-model", &[]).expect("links").number, 0, "it is linked there");

    let found = place.open_silently().artifact("registry/best-model:production").expect("finds");
    let (to, verified) = (place.root().join("to"), found.verify().expect("verifies"));
    assert!(verified.hurt.is_empty(), "{:?}", verified.hurt);
    found.download(&to, &runcellar::artifacts::DownloadOptions::default()).expect("downloads");
    assert_eq!(std::fs::read(to.join("weights")).expect("reads"), b"second");
    let trains = run(&workspace, "trains");
    workspace.use_version(&found, &trains).expect("uses");
    assert_eq!(names(&workspace.artifacts_of_run(&trains).expect("reads").used), ["digits/model:v1"]);
    let graph = workspace.artifact_graph(GraphStart::Version(&found)).expect("reads");
    assert!(
        graph
            .nodes
            .iter()
            .any(|node| { matches!(node, GraphNode::Version { links, .. } if links == &["registry/best-model:v0"]) })
    );

    let refused = workspace.remove_version(&second, RemoveOptions::default()).expect_err("a link keeps it");
    assert_eq!(refused.kind(), ErrorKind::State);
    assert!(refused.to_string().contains("link registry/best-model:v0"), "{refused}");
    let refused = workspace.link_version(&first, "digits/model", &[]).expect_err("is no collection");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    let mut draft = ArtifactDraft::new("best-model", "model").expect("a name");
    draft.add_bytes("weights", vec![1]).expect("adds");
    let settings = PutSettings { project: "registry".into(), ..PutSettings::default() };
    assert_eq!(workspace.put_artifact(&draft, &settings).expect_err("a collection").kind(), ErrorKind::InvalidArgument);

    // Of a link only the link goes.
    let link = workspace.artifact("best-model:v1").expect("finds");
    workspace.remove_version(&link, RemoveOptions::default()).expect("removes");
    assert_eq!(workspace.artifact("model:v0").expect("stays").digest, first.digest);
    workspace.remove_version(&second, RemoveOptions { aliases_too: true }).expect("removes");
    assert_eq!(workspace.artifact("best-model:production").expect_err("is gone").kind(), ErrorKind::NotFound);
    assert_eq!(names(&workspace.artifacts(None).expect("lists")), ["digits/model:v0"]);
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

#[test]
fn texts_of_a_version_change_and_its_content_does_not() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let version = put(&workspace, "model", b"content", None).version;
    let text = VersionText { description: Some("a good one".into()), metadata: Some(json!({"acc": 0.9})) };
    workspace.describe_version(&version, &text).expect("describes");
    let text = VersionText { metadata: Some(json!([1, 2])), ..VersionText::default() };
    assert_eq!(workspace.describe_version(&version, &text).expect_err("no map").kind(), ErrorKind::InvalidArgument);
    let found = place.open_silently().artifact("model").expect("finds");
    assert_eq!((found.description.as_str(), &found.metadata), ("a good one", &json!({"acc": 0.9})));
    assert_eq!((found.digest, found.created), (version.digest, version.created));
}

#[test]
fn a_name_of_two_projects_needs_one_of_them() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    for project in ["one", "two"] {
        let mut draft = ArtifactDraft::new("model", "model").expect("a name");
        draft.add_bytes("weights", project.as_bytes().to_vec()).expect("adds");
        let settings = PutSettings { project: project.into(), ..PutSettings::default() };
        workspace.put_artifact(&draft, &settings).expect("puts");
    }
    let wrong = workspace.artifact("model").expect_err("is ambiguous");
    assert_eq!(wrong.kind(), ErrorKind::Ambiguous);
    assert!(wrong.to_string().contains("one/model or two/model"), "{wrong}");
    let [one, two] = ["one/model", "two/model:v0"].map(|name| workspace.artifact(name).expect("finds"));
    assert_eq!(workspace.diff_versions(&one, &two).expect_err("two projects").kind(), ErrorKind::InvalidArgument);
    assert_eq!(names(&workspace.artifacts(Some("two")).expect("lists")), ["two/model:v0"]);
    assert_eq!(names(&workspace.artifact_versions("one/model").expect("lists")), ["one/model:v0"]);
    assert_eq!(workspace.artifact_versions("one/model:v0").expect_err("a version").kind(), ErrorKind::InvalidArgument);
}
