//! GStreamer, and the decoders and encoders of this machine.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use rsm_worker::pipeline::elements;
use rsm_worker::pipeline::hardware::{ChosenElement, Hardware};

use super::patient::Patient;
use super::report::Check;

/// Most devices of one kind that are checked.
const MAX_DEVICES: usize = 64;

pub fn look(patient: &Patient) -> Vec<Check> {
    let mut checks = Vec::new();
    match elements::version() {
        Ok(version) => checks.push(Check::ok("gstreamer", format!("GStreamer {version}"))),
        Err(e) => {
            checks.push(Check::failure("gstreamer", e.to_string(), "apt-get install libgstreamer1.0-0"));
            return checks;
        }
    }
    match elements::init() {
        Ok(()) => {
            checks.push(Check::ok("elements", format!("all {} that pipelines are made of", elements::needed())));
            match Hardware::find(&patient.config.worker) {
                Ok(hardware) => checks.extend(hardware.chosen().iter().map(codec)),
                Err(e) => checks.push(Check::failure("codecs", e.to_string(), "set it to auto, or mend the device")),
            }
        }
        // The error text names the packages and the command that installs them.
        Err(e) => checks.push(Check::failure("elements", e.to_string(), "")),
    }
    let nodes = devices(Path::new("/dev/dri"), "renderD");
    checks.push(judge("dri", "render nodes", &nodes, may_use, "render"));
    let nodes = devices(Path::new("/dev"), "video");
    checks.push(judge("v4l2", "V4L2 devices", &nodes, may_use, "video"));
    checks
}

fn codec(chosen: &ChosenElement) -> Check {
    let ChosenElement { job, element, software, failing } = chosen;
    let found = format!("{element} ({})", if *software { "software" } else { "hardware, tried" });
    if failing.is_empty() {
        return Check::ok(job, found);
    }
    let failing: Vec<_> = failing.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let found = format!("{found}; on this machine and not working: {}", failing.join(", "));
    Check::warning(job, found, "install the device's driver, or leave it to software")
}

/// Files of `dir` whose names begin with `prefix`, sorted.
fn devices(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let fits = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
    let mut found: Vec<_> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(fits)).map(|entry| entry.path()).collect();
    found.sort();
    found.truncate(MAX_DEVICES);
    found
}

fn may_use(device: &Path) -> bool {
    access(device, AccessFlags::R_OK | AccessFlags::W_OK).is_ok()
}

/// Lists the existing devices, and those that this user may open. Pure.
fn judge(check: &'static str, what: &str, devices: &[PathBuf], may_use: impl Fn(&Path) -> bool, group: &str) -> Check {
    let names = |devices: &[&PathBuf]| devices.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ");
    let closed: Vec<_> = devices.iter().filter(|device| !may_use(device)).collect();
    if !closed.is_empty() {
        let found = format!("{what} that this user may not open: {}", names(&closed));
        return Check::warning(check, found, format!("add the user to the group {group}, then log in again"));
    }
    if devices.is_empty() {
        return Check::ok(check, format!("no {what}; pictures are coded in software"));
    }
    Check::ok(check, names(&devices.iter().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn a_codec_is_well_unless_something_on_the_machine_fails() {
        let mut chosen =
            ChosenElement { job: "h264_decoder", element: "avdec_h264".into(), software: true, failing: vec![] };
        assert_eq!(codec(&chosen), Check::ok("h264_decoder", "avdec_h264 (software)"));
        chosen.failing.push(("vah264dec", "no device".into()));
        let check = codec(&chosen);
        assert!(check.status == Status::Warning && check.found.contains("vah264dec: no device"), "{check:?}");
    }

    #[test]
    fn devices_are_found_by_name_and_judged_by_permission() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["renderD129", "renderD128", "card0", "renderDx"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = devices(dir.path(), "renderD");
        assert_eq!(found, ["renderD128", "renderD129"].map(|name| dir.path().join(name)));
        assert_eq!(judge("dri", "render nodes", &found, |_| true, "render").status, Status::Ok);
        let closed = judge("dri", "render nodes", &found, |device| device.ends_with("renderD128"), "render");
        assert!(closed.status == Status::Warning && closed.found.ends_with("renderD129"), "{closed:?}");
        assert_eq!(judge("dri", "render nodes", &[], |_| false, "render").status, Status::Ok);
    }
}
