"""Training and evaluation of the detector.

Map
---
``datasets``    folder layouts to lists of samples, with every bad row named.
``augment``     random crops, exposure and noise as `torchvision.transforms.v2` on tv_tensors.
``compose``     windows put together from several radiographs: mosaics, pasted fractures.
``datamodule``  `FractureDataModule`: samples to batches, with class imbalance met by sampling.
``module``      `FractureDetector`: the Lightning module around an injected network, and its moving average.
``metrics``     average precision, image-level measures, operating points, bootstrap intervals.
``evaluate``    a folder of labelled radiographs to a table of metrics.
``train``       a configuration to weights with their manifest.
``pretraining`` a backbone from a network that learned another task.
``compare``     finished trainings side by side; ``paired`` resamples the difference of two.
``image_classifier``  fracture or none from whole radiographs, put beside a finished detector.
``pair``        two detectors to one release.
``mining``      what an earlier model tells about the data: hard negatives, boxes for fractures that have none.
``scope``       what tells limbs from other pictures, which ``scope_pictures`` and ``outside_scope.csv`` name.
``precision``   bfloat16 where the machine has it.
"""
