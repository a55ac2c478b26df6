//! WebDAV against rclone.

use runcellar_sync::ErrorKind;
use runcellar_sync::remote::{Location, Remote as _, open};

use crate::conformance::{Kind, conforms};
use crate::content::arrives_by;
use crate::loopback::servers::{USER, files, options, patient, rclone_webdav, remote, remote_with};
use crate::support::{name, object};

#[test]
fn rclone_conforms() {
    let Some(server) = rclone_webdav(&[]) else { return };
    conforms(
        &*patient(&format!("webdav://{USER}@{}/cellar", server.address)),
        Kind { conditional: true, atomic: false },
    );
    conforms(&*patient(&format!("webdav://{USER}@{}", server.address)), Kind { conditional: true, atomic: false });
    assert_eq!(files(server.folder.path()), [""; 0], "temporary files are left");
}

#[test]
fn what_a_writer_left_that_died_is_swept_up_after_a_day() {
    let Some(server) = rclone_webdav(&[]) else { return };
    let folder = server.folder.path().join("cellar/.runcellar-tmp");
    std::fs::create_dir(&folder).expect("is made");
    let hours = |hours: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
    for (name, age) in [("0123456789abcdef-0", 25), ("fedcba9876543210-7", 23), ("somebody else's", 1000)] {
        let file = std::fs::File::create(folder.join(name)).expect("is made");
        file.set_modified(hours(age)).expect("is set");
    }
    let remote = remote(&format!("webdav://{USER}@{}/cellar", server.address));
    remote.put(&name("a"), &object(1, 1)).expect("stored");
    let mut left: Vec<_> =
        std::fs::read_dir(&folder).expect("lists").map(|entry| entry.expect("reads").file_name()).collect();
    left.sort();
    assert_eq!(left, ["fedcba9876543210-7", "somebody else's"]);
}

#[test]
fn packs_arrive() {
    let Some(server) = rclone_webdav(&[]) else { return };
    arrives_by(&*patient(&format!("webdav://{USER}@{}/cellar", server.address)));
}

#[test]
fn a_collection_that_is_not_there_is_not_made_and_not_taken_for_an_empty_one() {
    let Some(server) = rclone_webdav(&[]) else { return };
    let remote = remote(&format!("webdav://{USER}@{}/cellar/absent", server.address));
    let a = name("devices/a");
    for error in [
        remote.put(&a, &object(1, 1)).unwrap_err(),
        remote.put_new(&a, &object(1, 1)).unwrap_err(),
        remote.get(&a, None).unwrap_err(),
        remote.head(&a).unwrap_err(),
        remote.delete(&a).unwrap_err(),
        remote.list(None, &mut |_| unreachable!()).unwrap_err(),
        remote.list(Some(&a), &mut |_| unreachable!()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NoSuchPlace, "{error}");
    }
    assert!(!server.folder.path().join("cellar/absent").exists());
    // It is when it is asked for, in one that is there.
    for _ in 0..2 {
        remote.make_place().expect("is made");
    }
    assert!(remote.put_new(&a, &object(1, 1)).expect("is stored"));
    let nowhere = self::remote(&format!("webdav://{USER}@{}/cellar/not/there", server.address));
    assert_eq!(nowhere.make_place().unwrap_err().kind(), ErrorKind::NoSuchPlace);
}

#[test]
fn a_wrong_password_is_refused_and_never_told() {
    let Some(server) = rclone_webdav(&[]) else { return };
    let url = format!("webdav://{USER}@{}/cellar", server.address);
    let remote = remote_with(&url, &[("RUNCELLAR_WEBDAV_PASSWORD", "hunter2")]);
    let error = remote.put(&name("a"), &object(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let location: Location = url.parse().expect("a URL");
    let none = open(&location, &options(&[])).map(drop).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Refused, "{none}");
}

#[test]
fn a_password_comes_from_a_netrc_file() {
    let Some(server) = rclone_webdav(&["--pass", "simple"]) else { return };
    let netrc = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(netrc.path(), format!("machine 127.0.0.1\nlogin {USER}\npassword simple\n")).expect("written");
    let variables = [("NETRC", netrc.path().to_str().expect("UTF-8"))];
    for user in [format!("{USER}@"), String::new()] {
        let remote = remote_with(&format!("webdav://{user}{}/cellar", server.address), &variables);
        remote.put(&name("a"), &object(1, 1)).expect("stored");
    }
}

#[test]
fn a_server_that_may_only_be_read_is_told() {
    let Some(server) = rclone_webdav(&["--read-only"]) else { return };
    let remote = remote(&format!("webdav://{USER}@{}/cellar", server.address));
    std::fs::write(server.folder.path().join("cellar/a"), [7; 4096]).expect("written");
    assert_eq!(remote.get(&name("a"), None).expect("read"), Some(vec![7; 4096]));
    let error = remote.put(&name("b"), &object(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
}
