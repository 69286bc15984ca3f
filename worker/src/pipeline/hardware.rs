//! Which decoders and which encoder this machine has: those of its hardware that work, else those in software.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gstreamer as gst;
use rsm_shared::config::{BadConfig, WorkerConfig, bad};

use super::job::{Job, Trial};
use super::trial::{self, TRIALS_DEADLINE};
use super::{PipelineError, elements};
use rsm_media::parameters::VideoCodec;

/// The elements that code pictures here. Found once at the start of the process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hardware(Arc<Found>);

#[derive(Debug)]
struct Found {
    choices: [Choice; Job::ALL.len()],
    /// The encoder failed while it ran. Software takes its place until the process ends: devices that failed once do
    /// so again, and each time viewers would wait.
    encoder_failed: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    element: String,
    /// The better candidates, and why they were not taken; at most the candidates of a job.
    passed_over: Vec<(&'static str, Trial)>,
}

impl Hardware {
    /// Tries the elements of this machine. Blocks: half a second at most where drivers are healthy, ten seconds where
    /// they hang. After [`elements::init`].
    ///
    /// # Errors
    /// [`BadConfig`] when the configuration names an element that is not there or does not work.
    pub fn find(config: &WorkerConfig) -> Result<Self, BadConfig> {
        let end = Instant::now() + TRIALS_DEADLINE;
        let find = |job: Job| choose(job, job.wanted(config), |name| attempt(job, name, end));
        let [h264, h265, jpeg, encoder] = Job::ALL;
        Ok(Self::of([find(h264)?, find(h265)?, find(jpeg)?, find(encoder)?]))
    }

    /// The elements in software, without a trial.
    pub fn software() -> Self {
        let choice = |job: Job| Choice { element: job.software().to_owned(), passed_over: Vec::new() };
        Self::of(Job::ALL.map(choice))
    }

    fn of(choices: [Choice; Job::ALL.len()]) -> Self {
        Self(Arc::new(Found { choices, encoder_failed: AtomicBool::new(false) }))
    }

    /// A pipeline that encodes ended with `error`. When that was the encoder's own and it is not the one in software,
    /// this process encodes in software from now on. Encoders get raw pictures only, so it is hardly
    /// the camera's fault; decoders are not judged, for theirs it may be.
    pub fn note_failure(&self, error: &PipelineError) {
        let PipelineError::Element { element, message } = error else { return };
        let software = Job::EncodeH264.software();
        if element == self.encoder() && element != software && !self.0.encoder_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                element,
                why = message,
                instead = software,
                "the H.264 encoder failed, another takes its place"
            );
        }
    }

    pub(super) fn decoder(&self, codec: VideoCodec) -> &str {
        &self.choice(Job::Decode(codec)).element
    }

    pub(super) fn encoder(&self) -> &str {
        if self.0.encoder_failed.load(Ordering::Relaxed) {
            return Job::EncodeH264.software();
        }
        &self.choice(Job::EncodeH264).element
    }

    fn choice(&self, job: Job) -> &Choice {
        let [h264, h265, jpeg, encoder] = &self.0.choices;
        match job {
            Job::Decode(VideoCodec::H264) => h264,
            Job::Decode(VideoCodec::H265) => h265,
            Job::Decode(VideoCodec::Jpeg) => jpeg,
            Job::EncodeH264 => encoder,
        }
    }

    /// Logs the chosen elements, and those that are there and do not work.
    pub fn log(&self) {
        for job in Job::ALL {
            let choice = self.choice(job);
            for (element, trial) in &choice.passed_over {
                if let Trial::Fails(why) = trial {
                    tracing::info!(element, %why, job = job.name(), "an element does not work on this machine");
                }
            }
            if choice.element != job.software() {
                tracing::info!(
                    element = choice.element,
                    job = job.name(),
                    "an element is chosen by hardware or configuration"
                );
            }
        }
    }
}

/// The element that does one job on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenElement {
    /// As the configuration calls it: `h264_decoder` and so on.
    pub job: &'static str,
    pub element: String,
    /// True when it needs no device.
    pub software: bool,
    /// Elements that are on this machine and do not work, and why.
    pub failing: Vec<(&'static str, String)>,
}

impl Hardware {
    /// The element of each job.
    pub fn chosen(&self) -> Vec<ChosenElement> {
        let chosen = |job: Job| {
            let Choice { element, passed_over } = self.choice(job);
            let failing = passed_over.iter().filter_map(|(name, trial)| match trial {
                Trial::Fails(why) => Some((*name, why.clone())),
                Trial::NotThere | Trial::Works => None,
            });
            ChosenElement {
                job: job.name(),
                element: element.clone(),
                software: element == job.software(),
                failing: failing.collect(),
            }
        };
        Job::ALL.map(chosen).into()
    }
}

/// A line for each job: its element, and why no better one.
impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for job in Job::ALL {
            let Choice { element, passed_over } = self.choice(job);
            let mut why = String::new();
            for (name, trial) in passed_over {
                let separator = if why.is_empty() { "" } else { ", " };
                match trial {
                    Trial::NotThere => write!(why, "{separator}{name}: not on this machine")?,
                    Trial::Fails(text) => write!(why, "{separator}{name}: {text}")?,
                    Trial::Works => {}
                }
            }
            writeln!(f, "{}: {element}{}", job.name(), if why.is_empty() { why } else { format!(" ({why})") })?;
        }
        Ok(())
    }
}

/// The text of `rsm config show` for this machine, in whatever state it is.
pub fn describe(config: &WorkerConfig) -> String {
    if let Err(e) = elements::init() {
        return format!("{e}\n");
    }
    Hardware::find(config).map_or_else(|e| format!("{e}\n"), |hardware| hardware.to_string())
}

fn attempt(job: Job, name: &str, end: Instant) -> Trial {
    if gst::ElementFactory::find(name).is_none() {
        return Trial::NotThere;
    }
    if name == job.software() { Trial::Works } else { trial::run(job, name, end) }
}

/// Pure: the element that is `wanted`, or the first candidate that works.
fn choose(job: Job, wanted: &str, mut attempt: impl FnMut(&str) -> Trial) -> Result<Choice, BadConfig> {
    let key = || format!("worker.{}", job.name());
    if wanted != "auto" {
        let expected = format!("auto or one of {}", job.candidates().join(", "));
        if job == Job::EncodeH264 && !job.candidates().contains(&wanted) {
            return Err(bad(&key(), format!("{wanted:?}"), &expected));
        }
        return match attempt(wanted) {
            Trial::Works => Ok(Choice { element: wanted.to_owned(), passed_over: Vec::new() }),
            Trial::NotThere => Err(bad(&key(), format!("{wanted:?}, which is not on this machine"), &expected)),
            Trial::Fails(why) => Err(bad(&key(), format!("{wanted:?}, which does not work here: {why}"), &expected)),
        };
    }
    let mut passed_over = Vec::new();
    for name in job.candidates() {
        match attempt(name) {
            Trial::Works => return Ok(Choice { element: (*name).to_owned(), passed_over }),
            trial => passed_over.push((*name, trial)),
        }
    }
    // Only when it was uninstalled since the start.
    Err(bad(&key(), "auto, and nothing works", &format!("{}, which is needed", job.software())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has these elements; those with a text do not work.
    fn machine(has: &[(&'static str, Option<&'static str>)]) -> impl FnMut(&str) -> Trial {
        move |name| match has.iter().find(|(element, _)| *element == name) {
            None => Trial::NotThere,
            Some((_, None)) => Trial::Works,
            Some((_, Some(why))) => Trial::Fails((*why).to_owned()),
        }
    }

    const H264: Job = Job::Decode(VideoCodec::H264);

    #[test]
    fn the_first_that_works_is_chosen_and_the_others_are_remembered() {
        let choice = choose(H264, "auto", machine(&[("avdec_h264", None), ("nvh264dec", Some("no device"))])).unwrap();
        assert_eq!(choice.element, "avdec_h264");
        assert_eq!(choice.passed_over.len(), 5);
        assert_eq!(choice.passed_over[4], ("nvh264dec", Trial::Fails("no device".into())));
        let choice = choose(H264, "auto", machine(&[("vah264dec", None), ("avdec_h264", None)])).unwrap();
        assert_eq!((choice.element.as_str(), choice.passed_over.len()), ("vah264dec", 0));
        let encoders = [("vah264enc", Some("hung")), ("vah264lpenc", None), ("x264enc", None)];
        assert_eq!(choose(Job::EncodeH264, "auto", machine(&encoders)).unwrap().element, "vah264lpenc");
    }

    #[test]
    fn a_wanted_element_is_taken_or_refused_in_one_line() {
        let mut has = machine(&[("avdec_h264", None), ("libde265dec", None), ("nvh264dec", Some("no device"))]);
        assert_eq!(choose(H264, "avdec_h264", &mut has).unwrap().element, "avdec_h264");
        assert_eq!(choose(Job::Decode(VideoCodec::H265), "libde265dec", &mut has).unwrap().element, "libde265dec");
        let choices = "vah264dec, vaapih264dec, v4l2slh264dec, v4l2h264dec, nvh264dec, avdec_h264";
        for (wanted, said) in [
            ("nvh264dec", "\"nvh264dec\", which does not work here: no device"),
            ("foo", "\"foo\", which is not on this machine"),
        ] {
            let error = choose(H264, wanted, &mut has).unwrap_err().to_string();
            assert_eq!(error, format!("worker.h264_decoder is {said}, expected auto or one of {choices}"));
        }
        // Its rate could not be bounded: its properties are unknown.
        let error = choose(Job::EncodeH264, "avdec_h264", &mut has).unwrap_err().to_string();
        assert!(
            error.starts_with("worker.h264_encoder is \"avdec_h264\", expected auto or one of vah264enc"),
            "{error}"
        );
    }

    #[test]
    fn an_encoder_that_fails_while_it_runs_gives_way_to_software() {
        let choice = |job: Job| Choice {
            element: if job == Job::EncodeH264 { "vah264enc" } else { job.software() }.to_owned(),
            passed_over: Vec::new(),
        };
        let hardware = Hardware::of(Job::ALL.map(choice));
        let error = |element: &str| PipelineError::Element { element: element.into(), message: "device lost".into() };
        for other in [error("avdec_h264"), error("appsrc"), PipelineError::Stuck, PipelineError::Ended] {
            hardware.note_failure(&other);
            assert_eq!(hardware.encoder(), "vah264enc", "{other}");
        }
        let elsewhere = hardware.clone();
        hardware.note_failure(&error("vah264enc"));
        assert_eq!([hardware.encoder(), elsewhere.encoder()], ["x264enc"; 2]);
        hardware.note_failure(&error("x264enc"));
        assert_eq!(hardware.encoder(), "x264enc");
    }

    #[test]
    fn this_machine_is_described_in_a_line_for_each_job() {
        elements::init().unwrap();
        let config = rsm_shared::config::Config::load(None, &[]).unwrap();
        let text = describe(&config.worker);
        let jobs: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(jobs, ["h264_decoder", "h265_decoder", "jpeg_decoder", "h264_encoder"], "{text}");
    }

    #[test]
    fn what_is_chosen_in_software_passes_its_trial() {
        elements::init().unwrap();
        let end = Instant::now() + TRIALS_DEADLINE;
        for job in Job::ALL {
            assert_eq!(trial::run(job, job.software(), end), Trial::Works, "{job:?}");
        }
        assert_eq!(trial::run(Job::EncodeH264, "openh264enc", end), Trial::Works);
    }

    #[test]
    fn an_element_that_cannot_do_the_job_fails_its_trial() {
        elements::init().unwrap();
        let end = Instant::now() + TRIALS_DEADLINE;
        for (job, element) in [(H264, "avdec_h265"), (H264, "identity"), (Job::EncodeH264, "jpegenc")] {
            assert!(matches!(trial::run(job, element, end), Trial::Fails(_)), "{element}");
        }
        assert_eq!(trial::run(H264, "avdec_h264", Instant::now()), Trial::Fails("no time left to try it".into()));
    }
}
