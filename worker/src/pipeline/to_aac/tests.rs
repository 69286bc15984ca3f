use super::*;
use crate::test_units::unit;

/// Units of 20 ms, as cameras send them; a click is heard from this sample on.
const UNIT: usize = 160;
const CLICK: usize = 12_345;
const FIRST_MS: u64 = 5000;

fn parameters(codec: AudioCodec) -> Arc<AudioParameters> {
    Arc::new(AudioParameters { codec, codec_data: Bytes::new(), sample_rate: 8000, channels: 1 })
}

/// Three seconds of silence with a click of 4 ms in it.
fn click(audio: &Arc<AudioParameters>) -> Vec<AccessUnit> {
    // ITU-T G.711 tables 1a and 2a: silence, and the loudest positive and negative values.
    let (silence, high, low) = if audio.codec == AudioCodec::Pcma { (0xd5, 0xaa, 0x2a) } else { (0xff, 0x80, 0x00) };
    let sample = |n: usize| match n.checked_sub(CLICK) {
        Some(n @ 0..32) => [high, high, low, low][n % 4],
        _ => silence,
    };
    let units = (0..24_000 / UNIT).map(|i| AccessUnit {
        data: (i * UNIT..(i + 1) * UNIT).map(sample).collect(),
        audio: Some(audio.clone()),
        ..unit(FIRST_MS + 20 * i as u64, false)
    });
    units.collect()
}

async fn encoded(audio: &AudioParameters, units: &[AccessUnit]) -> Vec<EncodedAudio> {
    elements::init().unwrap();
    let (mut pipeline, mut receiver) = AacPipeline::start(audio).await.unwrap();
    let mut frames = Vec::new();
    {
        let (feeder, _failed) = pipeline.split();
        let fed = async {
            for unit in units {
                feeder.push(unit).await.unwrap();
            }
            feeder.end();
        };
        let taken = async {
            while let Some(frame) = receiver.recv().await {
                frames.push(frame);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(fed, taken) }).await.unwrap();
    }
    pipeline.stop().await;
    frames
}

/// Samples of frames in a row, by a decoder that takes nothing out.
fn decoded(frames: &[EncodedAudio]) -> Vec<i16> {
    let caps = gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4i32)
        .field("stream-format", "raw")
        .field("rate", i32::try_from(OUTPUT_RATE).unwrap())
        .field("channels", 1i32)
        .field("codec_data", gst::Buffer::from_slice(frames[0].parameters.codec_data.clone()))
        .build();
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    let raw = gst::Caps::builder("audio/x-raw").field("format", "S16LE").build();
    let sink = gst_app::AppSink::builder().caps(&raw).sync(false).build();
    let make = |name| elements::make(name).unwrap();
    let chain = [source.clone().upcast(), make("avdec_aac"), make("audioconvert"), sink.clone().upcast()];
    let pipeline = gst::Pipeline::new();
    pipeline.add_many(&chain).unwrap();
    gst::Element::link_many(&chain).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        let mut buffer = gst::Buffer::from_slice(frame.data.clone());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::try_from(frame.pts).unwrap());
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut samples = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let data = sample.buffer().unwrap().map_readable().unwrap();
        samples.extend(data.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    samples
}

#[tokio::test]
async fn a_click_is_heard_when_it_was_made() {
    for codec in [AudioCodec::Pcma, AudioCodec::Pcmu] {
        let audio = parameters(codec);
        let frames = encoded(&audio, &click(&audio)).await;
        let parameters = &frames[0].parameters;
        // AAC-LC, 16 kHz, one channel: ISO/IEC 14496-3 section 1.6.2.1.
        assert_eq!((&parameters.codec_data[..2], parameters.sample_rate), (&[0x14, 0x08][..], OUTPUT_RATE));
        assert!((46..=49).contains(&frames.len()), "{}", frames.len());
        let steps: Vec<_> = frames.windows(2).map(|two| (two[1].pts - two[0].pts).as_millis()).collect();
        assert!(steps.iter().all(|step| *step == 64), "{steps:?}");
        let samples = decoded(&frames);
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        let begins = samples.iter().position(|sample| sample.unsigned_abs() > loudest / 2).unwrap();
        let heard = frames[0].pts + Duration::from_secs_f64(begins as f64 / f64::from(OUTPUT_RATE));
        let made = Duration::from_millis(FIRST_MS) + Duration::from_secs_f64(CLICK as f64 / 8000.0);
        assert!(heard.abs_diff(made) < Duration::from_millis(3), "made at {made:?}, heard at {heard:?}");
    }
}

#[tokio::test]
async fn after_a_pause_the_time_is_that_of_the_camera() {
    let audio = parameters(AudioCodec::Pcma);
    let mut units = click(&audio);
    units[100..].iter_mut().for_each(|unit| unit.pts += Duration::from_secs(1));
    let frames = encoded(&audio, &units).await;
    let end = frames.last().unwrap().pts;
    let want = units.last().unwrap().pts;
    assert!(end.abs_diff(want) < Duration::from_millis(130), "ends at {end:?}, the camera at {want:?}");
    assert!(frames.windows(2).all(|two| two[1].pts > two[0].pts));
}

#[tokio::test]
async fn aac_is_refused() {
    elements::init().unwrap();
    assert!(AacPipeline::start(&parameters(AudioCodec::Aac)).await.is_err());
}
