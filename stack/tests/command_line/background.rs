//! `local-stack up`, `down`, `status` and `clean-data`, as they are typed.

use std::fs;
use std::net::TcpListener;

use crate::site::{Site, is_running, text, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// The pids in the state file: broker, registry.
fn pids(site: &Site) -> [u32; 2] {
    let state = fs::read_to_string(site.data_dir().join("stack.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    ["broker", "registry"].map(|server| {
        let pid = state[server]["process"]["pid"].as_u64().unwrap();
        u32::try_from(pid).unwrap()
    })
}

/// Stops what a failed test leaves behind.
struct DownAtLast<'a>(&'a Site);

impl Drop for DownAtLast<'_> {
    fn drop(&mut self) {
        let _ = self.0.command("down").output();
    }
}

#[test]
fn a_stack_goes_up_is_mended_after_a_crash_and_goes_down() {
    let site = Site::new();
    let _down = DownAtLast(&site);
    assert_eq!(site.command("status").output().unwrap().status.code(), Some(1));

    // Two at once: one starts it, the other waits and finds it up.
    let first = site.up().stdout(std::process::Stdio::piped()).spawn().unwrap();
    let second = site.up().output().unwrap();
    let first = first.wait_with_output().unwrap();
    let told = [text(&first), text(&second)];
    assert!(first.status.success() && second.status.success(), "{told:?}");
    assert!(told.iter().any(|text| text.contains("already up")), "{told:?}");
    assert!(told.iter().any(|text| !text.contains("already up")), "{told:?}");
    assert!(site.command("status").output().unwrap().status.success());

    let refused = site.command("clean-data").output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("stop it first"), "{}", text(&refused));

    let [broker, registry] = pids(&site);
    kill_process(Pid::from_raw(broker.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    wait_until("the broker is gone", || !is_running(broker));
    let status = site.command("status").output().unwrap();
    assert!(text(&status).contains("not running"), "{}", text(&status));
    let mended = site.up().output().unwrap();
    assert!(mended.status.success(), "{}", text(&mended));
    let [new_broker, same_registry] = pids(&site);
    assert_ne!(new_broker, broker);
    assert_eq!(same_registry, registry);

    assert!(site.command("down").output().unwrap().status.success());
    assert!(!is_running(new_broker) && !is_running(registry));
    assert!(site.command("clean-data").output().unwrap().status.success());
    assert!(!site.data_dir().join("broker").exists());
}

#[test]
fn a_recycled_pid_is_neither_believed_nor_signalled() {
    let site = Site::new();
    // This test's own pid, with the start of another process.
    let own = std::process::id();
    let process = format!(r#"{{"pid": {own}, "started": "another boot/1"}}"#);
    let state = format!(
        r#"{{"owner": null, "controller_port": 1,
             "broker": {{"port": 1, "process": {process}}}, "registry": {{"port": 1, "process": {process}}}}}"#
    );
    fs::create_dir_all(site.data_dir()).unwrap();
    fs::write(site.data_dir().join("stack.json"), state).unwrap();
    let status = site.command("status").output().unwrap();
    assert_eq!(text(&status).matches("not running").count(), 2, "{}", text(&status));
    let down = site.command("down").output().unwrap();
    assert!(text(&down).contains("nothing was running"), "{}", text(&down));
}

#[test]
fn a_taken_port_is_named_with_the_setting_to_change() {
    let site = Site::new();
    let _other = TcpListener::bind(("127.0.0.1", site.kafka)).unwrap();
    let refused = site.up().output().unwrap();
    assert!(!refused.status.success());
    let message = text(&refused);
    assert!(message.contains(&site.kafka.to_string()) && message.contains("KAFKA_PORT="), "{message}");
}
