//! `secrets`: what was redacted, and allowing what is no secret.

use runcellar::{Json, json};

use crate::support::Home;

#[test]
fn findings_are_listed_counted_and_allowed_by_id() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let record = |id: &str| {
        let config = json!({"password": "sword-fish-7", "lr": 0.5});
        let run = workspace.run("p").id(id).name("n").config(config).arguments(["--fast"]).start().expect("starts");
        run.finish().expect("finishes");
    };
    assert_eq!(home.run(["secrets"]).stderr, "runcellar: note: nothing was redacted\n");
    record("run1");
    let listed = home.json(["secrets", "run1"]);
    let id = listed[0]["id"].as_str().expect("a text").to_owned();
    let expected = serde_json::json!([{"run": "run1", "name": "n", "project": "p", "id": id, "rule": "password",
        "place": "config.password", "length": 12}]);
    assert_eq!((&listed, &home.json(["secrets"])), (&expected, &expected));
    let shown = home.json(["show", "run1"]);
    assert_eq!((&shown["redacted"], &shown["arguments"]), (&1.into(), &serde_json::json!(["--fast"])));
    let page = home.ok(["show", "run1"]);
    assert!(page.contains("arguments --fast\n") && page.contains("redacted  1  runcellar secrets run1"), "{page}");
    assert!(!(page + &home.ok(["secrets"]) + &home.ok(["export"])).contains("sword-fish"));
    assert_eq!(home.ok(["secrets", "--allow", &id]), format!("allowed {id}\n"));
    assert_eq!(home.ok(["config", "get", "secrets.allow"]), format!("{id}\n"));
    record("run2");
    assert_eq!(home.json(["secrets", "run2"]), serde_json::json!([]));
    let info = workspace.find_run("run2").expect("is listed");
    assert_eq!(info.config.get("password"), Some(&Json::Text("sword-fish-7".into())));
}

#[test]
fn what_is_no_id_is_refused() {
    let home = Home::with_workspace();
    for wrong in ["password", "", "0123456789AB", "0123456789ab,"] {
        assert_eq!(home.run(["secrets", "--allow", wrong]).code, 2, "{wrong:?}");
    }
    assert_eq!(home.run(["secrets", "nobody"]).code, 3);
    assert_eq!(home.run(["secrets", "nobody", "--allow", "0123456789ab"]).code, 2);
}
