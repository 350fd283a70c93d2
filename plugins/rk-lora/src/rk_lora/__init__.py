"""LoRA: a trained model learns a new task by matrices of low rank beside its own, which stay as they are.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang and Chen, "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022,
arXiv:2106.09685:

    @inproceedings{hu2022lora,
      title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
      author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
                   Wang, Shean and Wang, Lu and Chen, Weizhu},
      booktitle = {International Conference on Learning Representations},
      year      = {2022}
    }
"""

from rk import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {"lora": "rk_lora.lora:Lora"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"merged": "rk_lora.merged:Merged"}
