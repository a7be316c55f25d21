"""What keraskit uses of Keras that has no public name, and why; pyproject.toml bounds Keras below the next release."""

TRAINER = "keras.src.backend.tensorflow.trainer"
USED = {
    "keras.src.backend.common.global_state.get_global_attribute": "models/weights.py builds without allocating",
    "keras.src.backend.common.global_state.set_global_attribute": "models/weights.py builds without allocating",
    f"{TRAINER}.reduce_per_replica": "distributed/cluster.py repairs `fit` on several machines",
    f"{TRAINER}.TensorFlowTrainer._maybe_symbolic_build": "distributed/cluster.py repairs `fit` on several machines",
    f"{TRAINER}.TensorFlowTrainer._symbolic_build": "training/checkpoint.py creates variables before the first step",
    "keras.Model._flatten_layers": "layers within layers are counted, looked at, and chosen for",
    "keras.callbacks.CallbackList.set_model": "training/fit.py reads the `_model` that it sets",
    "keras.src.legacy.preprocessing.image.ImageDataGenerator": "Augmentation.legacy compares with it",
    "keras.src.trainers.epoch_iterator.EpochIterator._enumerate_iterator": "datasets/epochs.py: opened twice",
}
OF_INSTANCES = {  # attributes that only an instance has
    "a variable's _value": "models/initializers.py leaves a layer alone that was built without its weights",
    "a compiled model's _loss_tracker": "training/micro_batches.py adds the loss of micro-batches up",
    "a metric's _direction": "training/setup.py knows whether a monitored metric should rise or fall",
    "a callback list's _model": "training/fit.py sees whether a callback has stopped the training",
}
