//! Encodes audio that browsers do not play to AAC, beside the task that makes segments.

use std::sync::Arc;

use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::AudioParameters;
use tokio::sync::mpsc;

use crate::pipeline::PipelineError;
use crate::pipeline::to_aac::{AacPipeline, EncodedAudio};

/// Units that wait for the encoder: five seconds of 20 ms packets. Units that do not fit are dropped, and silence takes
/// their place.
const MAX_WAITING: usize = 256;

/// An encoder that runs. It ends when it is dropped.
pub(super) struct AacEncoder {
    parameters: Arc<AudioParameters>,
    input: mpsc::Sender<Arc<AccessUnit>>,
    output: mpsc::Receiver<EncodedAudio>,
}

impl AacEncoder {
    /// Starts an encoder for audio with `parameters`.
    pub async fn start(parameters: Arc<AudioParameters>) -> Result<Self, PipelineError> {
        let (mut pipeline, output) = AacPipeline::start(&parameters).await?;
        let (input, mut units) = mpsc::channel::<Arc<AccessUnit>>(MAX_WAITING);
        // Ends when the input does, within the deadline of a push.
        tokio::spawn(async move {
            {
                let (feeder, failed) = pipeline.split();
                let feeding = async {
                    while let Some(unit) = units.recv().await {
                        feeder.push(&unit).await?;
                    }
                    Ok::<(), PipelineError>(())
                };
                let ended = tokio::select! {
                    fed = feeding => fed,
                    error = failed => Err(error),
                };
                if let Err(error) = ended {
                    tracing::warn!(repeats = true, %error, "audio is not encoded for a while");
                }
            }
            pipeline.stop().await;
        });
        Ok(Self { parameters, input, output })
    }

    /// True when it is for audio with these parameters.
    pub fn suits(&self, parameters: &Arc<AudioParameters>) -> bool {
        Arc::ptr_eq(&self.parameters, parameters) || self.parameters == *parameters
    }

    /// Hands over a unit; never waits.
    pub fn push(&self, unit: Arc<AccessUnit>) {
        // Full or ended: silence takes the place of the unit.
        let _ = self.input.try_send(unit);
    }

    /// The next frame; `None` once it has ended.
    pub async fn next(&mut self) -> Option<EncodedAudio> {
        self.output.recv().await
    }
}
