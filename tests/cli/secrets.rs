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
    assert_eq!(home.run(["secrets"]).stderr, "runcellar: note: nothing was redacted, and no secret found\n");
    record("run1");
    let listed = home.json(["secrets", "run1"]);
    let id = listed[0]["id"].as_str().expect("a text").to_owned();
    let expected = serde_json::json!([{"run": "run1", "name": "n", "project": "p", "id": id, "state": "redacted",
        "rule": "password",
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

/// What stands in a run holds it back, by every verb that says what would be sent, and no verb says what it is.
#[test]
fn a_run_with_a_secret_is_held_back_from_remotes_until_it_is_allowed() {
    const PASSWORD: &str = "sword-fish-7";
    let home = crate::remote::home();
    home.ok(["remote", "add", "origin", "shared"]);
    crate::remote::enable(&home);
    let run = home.workspace().run("p").id("open-run").redact(false).config(json!({"password": "sword-fish-7"}));
    run.start().expect("starts").finish().expect("finishes");
    let listed = home.json(["secrets"]);
    let id = listed[0]["id"].as_str().expect("a text").to_owned();
    assert_eq!((&listed[0]["run"], &listed[0]["state"]), (&"open-run".into(), &"open".into()), "{listed}");
    let dry = home.json(["sync", "--dry-run"]);
    assert_eq!(
        (&dry[0]["held"][0]["id"], &dry[0]["held"][0]["findings"][0]["id"]),
        (&"open-run".into(), &id.clone().into())
    );
    assert_eq!(dry[0]["runs"].as_array().map(Vec::len), Some(1), "{dry}");
    let why = "held back: a secret in it (config.password); runcellar secrets open-run says what to do";
    let synced = home.run(["sync"]);
    assert_eq!(synced.code, 6, "{synced:?}");
    assert!(synced.stderr.contains(&format!("run open-run: {why}\n")), "{synced:?}");
    assert!(synced.stderr.ends_with("1 run held back, as secrets were found; the rest was sent\n"), "{synced:?}");
    let status = home.json(["sync", "status"]);
    let of_remote = &status["remotes"][0];
    assert_eq!(
        (&of_remote["held"][0]["name"].is_string(), &of_remote["unsent"]["runs"]),
        (&true, &0.into()),
        "{status}"
    );
    let told = home.ok(["sync", "status"]) + &home.ok(["sync", "--dry-run"]);
    assert_eq!(told.matches(why).count(), 2, "{told}");
    let shown = home.run(["secrets", "open-run"]);
    assert!(shown.stderr.contains("--allow ID"), "{shown:?}");
    for said in
        [&told, &shown.stdout, &shown.stderr, &synced.stdout, &synced.stderr, &dry.to_string(), &status.to_string()]
    {
        assert!(!said.contains(PASSWORD), "{said}");
    }
    assert_eq!(home.run(["secrets", "--redact"]).code, 2, "runs are to be named");
    home.ok(["tag", "open-run", "seen"]);
    let copy = home.workspace().run("p").id("other-run").redact(false).config(json!({"password": "sword-fish-7"}));
    copy.start().expect("starts").finish().expect("finishes");
    let taken = home.run(["secrets", "other-run", "--redact"]);
    assert!(taken.stderr.contains("run other-run: 1 secret taken out"), "{taken:?}");
    assert_eq!(home.json(["show", "other-run"])["config"]["password"], format!("[redacted password {id}]"));
    home.ok(["secrets", "--allow", &id]);
    assert_eq!(home.json(["sync"])[0]["runs"]["sent"], serde_json::json!(2));
    assert_eq!(home.json(["secrets", "open-run"]), serde_json::json!([]));
}
