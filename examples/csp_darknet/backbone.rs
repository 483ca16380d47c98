//! CSPDarknet53 as in darknet's `yolov4.cfg`: 72 convolutions, each followed by batch norm and Mish.

use candle_core::{DType, Device, Result, Tensor};
use candle_mish::MishAffine;
use candle_nn::{batch_norm, conv2d_no_bias, BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig};
use candle_nn::{Module, VarBuilder};

const STEM: usize = 32;
/// Channels and residual blocks.
const STAGES: [(usize, usize); 5] = [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)];
/// YOLOv4 goes on with the outputs of this many stages, the last ones.
const OUTPUTS: usize = 3;
/// The first and the last size differ by this factor.
pub const STRIDE: usize = 1 << STAGES.len();

/// What follows a convolution: batch norm and Mish, one way or another.
pub type Epilogue<'a> = dyn FnMut(&Unit, Tensor) -> Result<Tensor> + 'a;

/// A convolution, and what its epilogue needs.
pub struct Unit {
    conv: Conv2d,
    conv_dtype: DType,
    pub norm: BatchNorm,
    /// The batch norm folded into scale and shift, with Mish.
    pub folded: MishAffine,
}

impl Unit {
    fn forward(&self, xs: &Tensor, epilogue: &mut Epilogue) -> Result<Tensor> {
        let ys = self.conv.forward(&xs.to_dtype(self.conv_dtype)?)?;
        epilogue(self, ys.to_dtype(xs.dtype())?)
    }
}

/// The type that convolutions compute in: candle has none in bf16 on the CPU.
pub fn conv_dtype(dtype: DType, device: &Device) -> DType {
    match dtype {
        DType::BF16 if device.is_cpu() => DType::F32,
        dtype => dtype,
    }
}

/// The layers of `yolov4.cfg` in the order of the file. Routes and shortcuts have a number too, but no parameters.
struct Layers<'a> {
    parameters: VarBuilder<'a>,
    next: usize,
}

impl Layers<'_> {
    fn conv(&mut self, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Result<Unit> {
        let parameters = self.parameters.pp("module_list").pp(self.next);
        self.next += 1;
        let config = Conv2dConfig {
            padding: kernel / 2,
            stride,
            ..Default::default()
        };
        let conv_dtype = conv_dtype(parameters.dtype(), parameters.device());
        let weights = parameters.pp("Conv2d").to_dtype(conv_dtype);
        let conv = conv2d_no_bias(inputs, outputs, kernel, config, weights)?;
        // The epsilon of darknet and of candle.
        let norm = BatchNormConfig::from(1e-5);
        let norm = batch_norm(outputs, norm, parameters.pp("BatchNorm2d"))?;
        let folded = MishAffine::from_batch_norm(&norm)?;
        Ok(Unit {
            conv,
            conv_dtype,
            norm,
            folded,
        })
    }

    fn route_or_shortcut(&mut self) {
        self.next += 1;
    }
}

/// Halves the resolution, then runs residual blocks on one part while the other one bypasses them.
struct Stage {
    down: Unit,
    bypass: Unit,
    entry: Unit,
    blocks: Vec<[Unit; 2]>,
    exit: Unit,
    merge: Unit,
    /// The number of the last layer.
    layer: usize,
}

impl Stage {
    fn new(layers: &mut Layers, inputs: usize, channels: usize, blocks: usize) -> Result<Self> {
        // In the first stage both parts have all channels, and the blocks a bottleneck.
        let narrow = channels / 2;
        let part = if inputs == STEM { channels } else { narrow };
        let down = layers.conv(inputs, channels, 3, 2)?;
        let bypass = layers.conv(channels, part, 1, 1)?;
        layers.route_or_shortcut();
        let entry = layers.conv(channels, part, 1, 1)?;
        let mut residual = vec![];
        for _ in 0..blocks {
            residual.push([layers.conv(part, narrow, 1, 1)?, layers.conv(narrow, part, 3, 1)?]);
            layers.route_or_shortcut();
        }
        let exit = layers.conv(part, part, 1, 1)?;
        layers.route_or_shortcut();
        let layer = layers.next;
        let merge = layers.conv(2 * part, channels, 1, 1)?;
        Ok(Self {
            down,
            bypass,
            entry,
            blocks: residual,
            exit,
            merge,
            layer,
        })
    }

    fn forward(&self, xs: &Tensor, epilogue: &mut Epilogue) -> Result<Tensor> {
        let xs = self.down.forward(xs, epilogue)?;
        let bypass = self.bypass.forward(&xs, epilogue)?;
        let mut ys = self.entry.forward(&xs, epilogue)?;
        drop(xs);
        for [first, second] in &self.blocks {
            let residual = second.forward(&first.forward(&ys, epilogue)?, epilogue)?;
            ys = (residual + ys)?;
        }
        let ys = self.exit.forward(&ys, epilogue)?;
        self.merge.forward(&Tensor::cat(&[ys, bypass], 1)?, epilogue)
    }

    fn units(&self) -> impl Iterator<Item = &Unit> {
        [&self.down, &self.bypass, &self.entry, &self.exit, &self.merge]
            .into_iter()
            .chain(self.blocks.iter().flatten())
    }
}

pub struct Backbone {
    stem: Unit,
    stages: Vec<Stage>,
}

/// What one of the last stages returns.
pub struct Output {
    /// The number of its last layer in `yolov4.cfg`.
    pub layer: usize,
    pub features: Tensor,
}

impl Backbone {
    pub fn new(parameters: VarBuilder) -> Result<Self> {
        let mut layers = Layers { parameters, next: 0 };
        let stem = layers.conv(3, STEM, 3, 1)?;
        let mut inputs = STEM;
        let mut stages = vec![];
        for (channels, blocks) in STAGES {
            stages.push(Stage::new(&mut layers, inputs, channels, blocks)?);
            inputs = channels;
        }
        Ok(Self { stem, stages })
    }

    /// Images `[n, 3, height, width]`, both sizes multiples of [`STRIDE`], to features at 1/8, 1/16 and 1/32 of them.
    pub fn forward(&self, images: &Tensor, epilogue: &mut Epilogue) -> Result<Vec<Output>> {
        let mut xs = self.stem.forward(images, epilogue)?;
        let mut outputs = vec![];
        for (i, stage) in self.stages.iter().enumerate() {
            xs = stage.forward(&xs, epilogue)?;
            if i + OUTPUTS >= STAGES.len() {
                outputs.push(Output {
                    layer: stage.layer,
                    features: xs.clone(),
                });
            }
        }
        Ok(outputs)
    }

    pub fn units(&self) -> usize {
        1 + self
            .stages
            .iter()
            .map(|stage| stage.units().count())
            .sum::<usize>()
    }
}
