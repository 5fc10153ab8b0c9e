"""Train a LoRA of SDXL on a folder of pictures, with the flags and file format of kohya's sd-scripts.

    python kohya-scripts/sdxl_train_network.py --pretrained_model_name_or_path tiny-xl --resolution 128 \\
        --train_data_dir photos --output_dir out --learning_rate 1e-3 --network_train_unet_only

It is `train_network.py` with two text encoders: `--text_encoder_lr` takes a rate for each.
"""

from __future__ import annotations

import sys

from train_network import main

if __name__ == "__main__":
    sys.exit(main(is_sdxl=True))
