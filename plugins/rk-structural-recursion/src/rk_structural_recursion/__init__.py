"""Structural recursion: do sequence models learn to recurse, or a shortcut that breaks at depths that are rare?

Zhang, Tigges, Zhang, Biderman, Raginsky and Ringer, "Transformer-Based Models Are Not Yet Perfect At Learning to
Emulate Structural Recursion", TMLR 2024, arXiv:2401.12947:

    @article{zhang2024transformer,
      title   = {Transformer-Based Models Are Not Yet Perfect At Learning to Emulate Structural Recursion},
      author  = {Zhang, Dylan and Tigges, Curt and Zhang, Zory and Biderman, Stella and Raginsky, Maxim
                 and Ringer, Talia},
      journal = {Transactions on Machine Learning Research},
      year    = {2024}
    }
"""

from rk import hookimpl

_FEW = ("data.batch_size=8", "data.eval_examples=24", "data.examples_per_depth=8", "model.d_model=16")
RK_TRIAL = dict.fromkeys(
    (
        "successor-quick",
        "successor-deeper",
        "successor-full",
        "successor-oversample",
        "preorder-quick",
        "inorder-quick",
        "postorder-quick",
        "inorder-step",
    ),
    (*_FEW, "model.dim_feedforward=32", "model.max_answer=24"),
)


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "binary-successor": "rk_structural_recursion.successor:BinarySuccessor",
        "tree-traversal": "rk_structural_recursion.traversal:TreeTraversal",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "asm-predictor": "rk_structural_recursion.asm_predictor:AsmPredictor",
        "depth-accuracy": "rk_structural_recursion.depth_accuracy:DepthAccuracy",
        "emulate": "rk_structural_recursion.emulate:Emulate",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "asm-predictor": "rk_structural_recursion.asm_predictor:AsmPredictorAnalysis",
        "attention-trace": "rk_structural_recursion.attention_trace:AttentionTrace",
        "depth-accuracy": "rk_structural_recursion.depth_accuracy:DepthAccuracyAnalysis",
        "emulate": "rk_structural_recursion.emulate:EmulateAnalysis",
    }
