"""The document's tables as data: of each model every layer's name, output shape without the batch, and parameters."""

TABLE = """
quickstart 7,114 = hidden 64: 6,464; output 10: 650
mlp 541,794 = input 784: 0; hidden1 512: 401,920; hidden2 216: 110,808; hidden3 128: 27,776; output 10: 1,290
cnn 199,562 = input 28,28,1: 0; conv1 25,25,128: 2,176; pool1 12,12,128: 0; conv2 9,9,64: 131,136; pool2 4,4,64: 0;
    flatten 1024: 0; hidden1 64: 65,600; output 10: 650
lstm 84,362 = input 784,1: 0; lstm1 128: 66,560; hidden1 128: 16,512; output 10: 1,290
shared_input 399,610 = input 28,28,1: 0; conv1 25,25,32: 544; conv2 21,21,16: 1,040; pool1 12,12,32: 0;
    pool2 10,10,16: 0; flatten1 4608: 0; flatten2 1600: 0; concatenate 6208: 0; hidden1 64: 397,376; output 10: 650
shared_features 78,984 = input 784,1: 0; lstm1 128: 66,560; interp1 10: 1,290; interp21 64: 8,256; interp22 32: 2,080;
    interp23 16: 528; merge 26: 0; output 10: 270
multi_input 424,874 = img_gray_bigsize 64,64,1: 0; conv11 61,61,32: 544; pool11 30,30,32: 0; conv12 27,27,16: 8,208;
    pool12 13,13,16: 0; flatten1 2704: 0; img_rgb_smallsize 32,32,3: 0; conv21 29,29,32: 1,568; pool21 14,14,32: 0;
    conv22 11,11,16: 8,208; pool22 5,5,16: 0; flatten2 400: 0; concatenate 3104: 0; hidden1 128: 397,440;
    hidden2 64: 8,256; output 10: 650
multi_output 31,348 = input 784,1: 0; extract 784,64: 16,896; class11 32: 12,416; class12 32: 1,056; output1 10: 330;
    output2 784,10: 650
vgg16 138,357,544 = input 224,224,3: 0; block1_conv1 224,224,64: 1,792; block1_conv2 224,224,64: 36,928;
    block1_pool 112,112,64: 0; block2_conv1 112,112,128: 73,856; block2_conv2 112,112,128: 147,584;
    block2_pool 56,56,128: 0; block3_conv1 56,56,256: 295,168; block3_conv2 56,56,256: 590,080;
    block3_conv3 56,56,256: 590,080; block3_pool 28,28,256: 0; block4_conv1 28,28,512: 1,180,160;
    block4_conv2 28,28,512: 2,359,808; block4_conv3 28,28,512: 2,359,808; block4_pool 14,14,512: 0;
    block5_conv1 14,14,512: 2,359,808; block5_conv2 14,14,512: 2,359,808; block5_conv3 14,14,512: 2,359,808;
    block5_pool 7,7,512: 0; flatten 25088: 0; fc1 4096: 102,764,544; fc2 4096: 16,781,312; predictions 1000: 4,097,000
cats_dogs 3,453,121 = conv1 148,148,32: 896; pool1 74,74,32: 0; conv2 72,72,64: 18,496; pool2 36,36,64: 0;
    conv3 34,34,128: 73,856; pool3 17,17,128: 0; conv4 15,15,128: 147,584; pool4 7,7,128: 0; flatten 6272: 0;
    hidden 512: 3,211,776; output 1: 513
cats_dogs_features 3,491,521 = input 224,224,3: 0; mobilenet_1.00_224 7,7,1024: 3,228,864; features 1024: 0;
    dropout1 1024: 0; hidden 256: 262,400; dropout2 256: 0; output 1: 257
cnn_as_printed 138,122 = input 28,28,1: 0; conv1 25,25,128: 2,176; pool1 12,12,128: 0; conv2 9,9,64: 131,136;
    pool2 4,4,64: 0; hidden1 4,4,64: 4,160; output 4,4,10: 650
"""


def _number(text: str) -> int:
    return int(text.replace(",", ""))


LAYERS: dict[str, list[tuple[str, tuple[int, ...], int]]] = {}
TOTALS: dict[str, int] = {}
for _model in TABLE.strip().replace("\n    ", " ").splitlines():
    _name, _total, _, *_words = _model.replace(":", "").replace(";", "").split()
    TOTALS[_name] = _number(_total)
    LAYERS[_name] = [
        (layer, tuple(map(int, shape.split(","))), _number(count))
        for layer, shape, count in zip(_words[::3], _words[1::3], _words[2::3], strict=True)
    ]
# The document's own printed table, which cannot be trained on one label per image; see docs/ERRATA.md.
CNN_AS_PRINTED, CNN_AS_PRINTED_TOTAL = LAYERS.pop("cnn_as_printed"), TOTALS.pop("cnn_as_printed")
PETS = LAYERS["cats_dogs"]
LAYERS |= {
    "cats_dogs_augmented": [*PETS[:9], ("dropout", (6_272,), 0), *PETS[9:]],
    "cats_dogs_finetune": LAYERS["cats_dogs_features"],  # MobileNet without its head, and a classifier of 256 units
}
TOTALS |= {"cats_dogs_augmented": TOTALS["cats_dogs"], "cats_dogs_finetune": TOTALS["cats_dogs_features"]}
