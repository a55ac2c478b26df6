//! S3 against moto, which has conditions, versions and object lock, and rclone, which has none of them.

use runcellar_sync::ErrorKind;
use runcellar_sync::remote::{Location, Remote as _, open};

use crate::conformance::{Kind, conforms, listed};
use crate::content::arrives_by;
use crate::loopback::servers::{
    ACCESS_KEY, KEYS, SECRET_KEY, Server, moto, moto_with_pages, options, patient, rclone_s3, remote, remote_with,
};
use crate::support::{name, object};

#[test]
fn moto_conforms() {
    let Some(server) = moto() else { return };
    conforms(&*patient(&server.s3("/a/prefix")), Kind { conditional: true, atomic: true });
    conforms(&*patient(&server.s3("")), Kind { conditional: true, atomic: true });
}

#[test]
fn rclone_conforms_though_it_ignores_conditions() {
    let Some(server) = rclone_s3() else { return };
    conforms(&*patient(&server.s3("/a/prefix")), Kind { conditional: false, atomic: false });
}

#[test]
fn packs_arrive_by_servers_with_and_without_conditions() {
    if let Some(server) = moto() {
        arrives_by(&*patient(&server.s3("/packs")));
    }
    if let Some(server) = rclone_s3() {
        arrives_by(&*patient(&server.s3("/packs")));
    }
}

#[test]
fn two_prefixes_of_a_bucket_know_nothing_of_each_other() {
    let Some(server) = moto() else { return };
    let (one, other) = (remote(&server.s3("/team/a")), remote(&server.s3("/team/ab")));
    one.put(&name("x"), &object(1, 1)).expect("stored");
    assert!(listed(&*other, None).is_empty());
    other.put(&name("y"), &object(1, 1)).expect("stored");
    assert_eq!(listed(&*one, None).len(), 1);
}

#[test]
fn what_others_put_into_the_bucket_is_passed_over_and_long_listings_have_pages() {
    let Some(server) = moto_with_pages("7") else { return };
    for odd in ["/bucket/p/UPPER", "/bucket/p/a%20b", "/bucket/p/%26lt%3B", "/bucket/p/folder/", "/bucket/other"] {
        assert_eq!(server.ask("PUT", odd, "", "x"), 200, "{odd}");
    }
    let remote = remote(&server.s3("/p"));
    for n in 0..40 {
        assert_eq!(server.ask("PUT", &format!("/bucket/p/junk/{n:04}"), "", "x"), 200);
    }
    assert_eq!(listed(&*remote, None).len(), 40);
    assert_eq!(listed(&*remote, Some(&name("junk"))).len(), 40);
}

fn kind_of(server: &Server, url: &str, variables: &[(&str, &str)]) -> ErrorKind {
    let location: Location = url.parse().expect("a URL");
    let remote = open(&location, &options(variables)).expect("opened");
    let a = name("a");
    let errors = [
        remote.put(&a, &object(1, 1)).unwrap_err(),
        remote.put_new(&a, &object(1, 1)).unwrap_err(),
        remote.get(&a, None).unwrap_err(),
        remote.get(&a, Some(0..9)).unwrap_err(),
        remote.head(&a).unwrap_err(),
        remote.delete(&a).unwrap_err(),
        remote.list(None, &mut |_| unreachable!()).unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.kind(), errors[0].kind(), "{error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET_KEY) && !text.contains("wrong-secret"), "{text}");
        assert!(error.to_string().contains(&server.address), "{error}");
    }
    errors[0].kind()
}

#[test]
fn a_bucket_that_is_not_there_is_not_taken_for_an_empty_one() {
    let Some(server) = moto() else { return };
    let url = server.s3("").replace("bucket", "another");
    assert_eq!(kind_of(&server, &url, &KEYS), ErrorKind::NoSuchPlace);
}

#[test]
fn wrong_and_missing_credentials_are_refused() {
    let Some(server) = rclone_s3() else { return };
    let wrong = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", "wrong-secret")];
    let location: Location = server.s3("").parse().expect("a URL");
    for variables in [&wrong[..], &[]] {
        let remote = open(&location, &options(variables)).expect("opened");
        let error = remote.get(&name("a"), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(!format!("{error} {error:?}").contains("wrong-secret"), "{error:?}");
    }
}

#[test]
fn credentials_come_from_a_profile() {
    let Some(server) = rclone_s3() else { return };
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("made");
    let text = format!("[team]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
    std::fs::write(home.path().join(".aws/credentials"), text).expect("written");
    let home = home.path().to_str().expect("UTF-8");
    let remote = remote_with(&server.s3(""), &[("HOME", home), ("AWS_PROFILE", "team")]);
    remote.put(&name("a"), &object(1, 1)).expect("stored");
    let other = remote_with(&server.s3(""), &[("HOME", home), ("AWS_PROFILE", "another")]);
    assert_eq!(other.head(&name("a")).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn the_region_of_aws_must_be_known() {
    let location: Location = "s3://bucket".parse().expect("a URL");
    let error = open(&location, &options(&KEYS)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(open(&location, &options(&[("AWS_REGION", "eu-west-1")])).is_ok());
}

#[test]
fn deleting_reaches_every_version_of_an_object_and_of_no_other() {
    let Some(server) = moto() else { return };
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(server.ask("PUT", "/bucket?versioning=", "", on), 200);
    let remote = remote(&server.s3("/p"));
    for n in 0..3 {
        remote.put(&name("devices/ab/head"), &object(n, 1)).expect("stored");
        remote.put(&name("devices/ab/head2"), &object(n, 1)).expect("stored");
    }
    remote.delete(&name("devices/ab/head")).expect("deleted");
    let versions = server.versions();
    assert!(!versions.contains("<Key>p/devices/ab/head</Key>"), "{versions}");
    assert_eq!(versions.matches("<Key>p/devices/ab/head2</Key>").count(), 3);
    remote.delete(&name("devices/ab/head")).expect("deleted");
    // What an object was before goes without it.
    remote.delete_older(&name("devices/ab/head2")).expect("deleted");
    assert_eq!(server.versions().matches("<Key>p/devices/ab/head2</Key>").count(), 1);
    assert_eq!(remote.get(&name("devices/ab/head2"), None).expect("answers"), object(2, 1).read().ok());
    remote.delete_older(&name("devices/ab/none")).expect("nothing to do");
}

#[test]
fn an_object_lock_is_told_with_its_time_and_keeps_no_other_version() {
    let Some(server) = moto() else { return };
    assert_eq!(server.ask("PUT", "/locked", "x-amz-bucket-object-lock-enabled: true\r\n", ""), 200);
    let url = server.s3("").replace("bucket", "locked");
    let remote = remote(&url);
    remote.put(&name("pack"), &object(1, 1)).expect("stored");
    let until = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>";
    assert_eq!(server.ask("PUT", "/locked/pack?retention=", "", until), 200);
    remote.put(&name("pack"), &object(2, 1)).expect("stored");
    let error = remote.delete(&name("pack")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ObjectLocked, "{error}");
    assert_eq!(error.locked_until_us(), Some(4_070_908_800_000_000), "{error}");
    assert_eq!(error.object(), Some(&name("pack")));
    assert_eq!(server.versions_of("locked").matches("<VersionId>").count(), 1, "{}", server.versions_of("locked"));
}
