//! Links of collections, and what else is said of versions that others put.

use runcellar::ErrorKind;
use runcellar::artifacts::RemoveOptions;
use runcellar::remotes::RemoteClass;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::content::{assert_alike, is_idle, put};
use crate::devices::Device;
use crate::evict::with_source;

#[test]
fn a_link_that_one_device_takes_away_goes_on_all_and_comes_back_when_it_is_made_again() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    let version = put(&first, b"weights", None, &[]);
    first.workspace.link_version(&version, "good", &["prod".into()]).expect("links");
    first.sync(&remote).expect("syncs");
    let (second, third) = (Device::another(&first, &remote), Device::another(&first, &remote));
    for device in [&second, &third] {
        device.sync(&remote).expect("syncs");
    }
    let link = |device: &Device| device.workspace.artifact("registry/good:prod");
    let taken = link(&second).expect("came");
    second.workspace.remove_version(&taken, RemoveOptions { aliases_too: true }).expect("removes");
    let report = second.sync(&remote).expect("syncs");
    assert!(report.sent > 0, "it is news where nothing else is: {report:?}");
    first.sync(&remote).expect("syncs");
    // What is said of the collection by those that had it does not bring it back.
    put(&third, b"other", None, &[]);
    third
        .workspace
        .link_version(&third.workspace.artifact("p/model:v1").expect("is there"), "good", &[])
        .expect("links");
    for device in [&third, &second, &first, &third, &second, &first] {
        device.sync(&remote).expect("syncs");
    }
    for device in [&first, &second, &third] {
        assert_eq!(link(device).expect_err("was taken away").kind(), ErrorKind::NotFound);
        assert!(is_idle(&device.sync(&remote).expect("syncs")));
    }
    assert_alike(&[&first, &second, &third]);
    let version = third.workspace.artifact("p/model:v0").expect("stays");
    third.workspace.link_version(&version, "good", &["prod".into()]).expect("links");
    for device in [&third, &second, &first] {
        device.sync(&remote).expect("syncs");
        assert_eq!(link(device).expect("is there again").number, 2);
    }
    assert_alike(&[&first, &second, &third]);
}

/// Who replaces the keys publishes at once what it says of a version, and its content comes once the device that put it
/// has taken the keys over.
#[test]
fn what_is_said_of_a_version_is_here_also_where_its_content_comes_later() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    first.sync(&remote).expect("syncs");
    let (second, third) = (Device::another(&first, &remote), Device::another(&first, &remote));
    // It has nothing to publish of content that it does not have.
    second.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    for device in [&second, &third, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    first.workspace.rotate_keys().expect("rotates");
    put(&first, b"weights", None, &[]);
    for device in [&first, &second] {
        device.sync(&remote).expect("syncs");
    }
    let version = second.workspace.artifact("p/model:v0").expect("came");
    second.workspace.link_version(&version, "good", &["prod".into()]).expect("links");
    let version = second.workspace.tag_version(&version, &["best".into()], &[]).expect("is set");
    second.record("reader", 5);
    second.workspace.use_version(&version, &second.run("reader")).expect("is used");
    for device in [&second, &first] {
        device.sync(&remote).expect("syncs");
    }
    second.workspace.rotate_keys().expect("rotates");
    for device in [&second, &third] {
        device.sync(&remote).expect("syncs");
    }
    assert_eq!(
        third.workspace.artifact("p/model:v0").expect_err("its content is not there").kind(),
        ErrorKind::NotFound
    );
    for device in [&first, &third, &second, &first] {
        device.sync(&remote).expect("syncs");
    }
    assert_eq!(third.workspace.artifact("registry/good:prod").expect("came").number, 0);
    with_source(&second, &store);
    assert_alike(&[&first, &second, &third]);
    assert!([&first, &second, &third].iter().all(|device| is_idle(&device.sync(&remote).expect("syncs"))));
}
