"""Images: data sets with checksums, a user's folders, small conv nets, and blocks for local learning."""

from rk import hookimpl

RK_TRIAL = {
    "mnist-quick": ("data.batch_size=16", "data.train_limit=1000"),
    "shapes-quick": ("data.size=[16,16]", "data.batch_size=4", "data.num_batches=2"),
}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "mnist": "rk_vision.mnist:MNIST",
        "fashion-mnist": "rk_vision.mnist:FashionMNIST",
        "cifar10": "rk_vision.cifar:CIFAR10",
        "image-folder": "rk_vision.folder:ImageFolder",
        "image-masks": "rk_vision.mask_folder:ImageMasks",
        "drawn-shapes": "rk_vision.drawn_shapes:DrawnShapes",
        "augmented": "rk_vision.augmented:Augmented",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "conv-net": "rk_vision.conv_net:ConvNet",
        "patch-linear": "rk_vision.unet:PatchLinear",
        "unet": "rk_vision.unet:UNet",
        "vit": "rk_vision.vit:VisionTransformer",
    }


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "conv-block": "rk_vision.conv_block:ConvBlock",
        "image-attention": "rk_vision.image_attention:ImageAttention",
        "mlp-block": "rk_vision.mlp_block:MLPBlock",
    }
