//! What needs servers. tests/run.sh runs these where loopback is all the network there is, apart from the tests that must
//! open no socket at all.

mod network;
mod s3;
mod servers;
mod webdav;
