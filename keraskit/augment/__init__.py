"""ImageDataGenerator's arguments, implemented with one resampling per batch inside tf.data."""
