"""Settings of a training that ends within seconds."""

from imaging.training.train import TrainingConfig

TINY = TrainingConfig(
    graph="yolov7-tiny",
    folds=3,
    development_fold=0,
    image_size=96,
    crop_size=64,
    batch_size=2,
    samples_per_epoch=4,
    epochs=1,
    validate_every=1,
    workers=0,
    precision="32-true",
)
