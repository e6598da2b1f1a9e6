"""Check a UME as a reward before spending a training on it.

    python examples/test_ume_reward.py                          # the UME that ships
    python examples/test_ume_reward.py --ume path/to/my-ume

Known molecules, proteins and coding sequences are scored beside corruptions of themselves; a reward worth training on
prefers the real ones. What is no molecule must get 0, and a score must not depend on what else is in the batch. The exit
status is 0 where everything passed.
"""

import argparse
import sys

import numpy as np
from transformers.utils.logging import disable_progress_bar

from lobster.constants import Modality
from lobster.evaluation.corruption import corrupt_letters, swap_tokens
from lobster.model import load_encoder
from lobster.rl_training import UmeRewardFunction

MOLECULES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "ibuprofen": "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "sildenafil": "CCCc1nn(C)c2c1nc(-c1cc(S(=O)(=O)N3CCN(C)CC3)ccc1OCC)[nH]c2=O",
    "haloperidol": "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",
    "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
}
PROTEINS = {
    "ubiquitin": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG",
    "insulin, human": "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGIVEQCC"
    "TSICSLYQLENYCN",
    "lysozyme, hen": "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPGSRNLCNIPCSALLSSDITASVNCAKKIV"
    "SDGNGMNAWVAWRNRCKGTDVQAWIRGCRL",
    "GFP": "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKQHDFFKSAMPEGYVQERTIFFKDDGNYKTRAE"
    "VKFEGDTLVNRIELKGIDFKEDGNILGHKLEYNYNSHNVYIMADKQKNGIKVNFKIRHNIEDGSVQLADHYQQNTPIGDGPVLLPDNHYLSTQSALSKDPNEKRDHMVLLE"
    "FVTAAGITHGMDELYK",
    "haemoglobin alpha": "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLRV"
    "DPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR",
}
CODING_SEQUENCES = {
    "insulin, human": "ATGGCCCTGTGGATGCGCCTCCTGCCCCTGCTGGCGCTGCTGGCCCTCTGGGGACCTGACCCAGCCGCAGCCTTTGTGAACCAACACCTGTGCGGCTCACACC"
    "TGGTGGAAGCTCTCTACCTAGTGTGCGGGGAACGAGGCTTCTTCTACACACCCAAGACCCGCCGGGAGGCAGAGGACCTGCAGGTGGGGCAGGTGGAGCTGGGCGGGGGCCC"
    "TGGTGCAGGCAGCCTGCAGCCCTTGGCCCTGGAGGGGTCCCTGCAGAAGCGTGGCATTGTGGAACAATGCTGTACCAGCATCTGCTCCCTCTACCAGCTGGAGAACTACTGC"
    "AACTAG",
    "eGFP": "ATGGTGAGCAAGGGCGAGGAGCTGTTCACCGGGGTGGTGCCCATCCTGGTCGAGCTGGACGGCGACGTAAACGGCCACAAGTTCAGCGTGTCCGGCGAGGGCGAGGGCGAT"
    "GCCACCTACGGCAAGCTGACCCTGAAGTTCATCTGCACCACCGGCAAGCTGCCCGTGCCCTGGCCCACCCTCGTGACCACCCTGACCTACGGCGTGCAGTGCTTCAGCCGCT"
    "ACCCCGACCACATGAAGCAGCACGACTTCTTCAAGTCCGCCATGCCCGAAGGCTACGTCCAGGAGCGCACCATCTTCTTCAAGGACGACGGCAACTACAAGACCCGCGCCGA"
    "GGTGAAGTTCGAGGGCGACACCCTGGTGAACCGCATCGAGCTGAAGGGCATCGACTTCAAGGAGGACGGCAACATCCTGGGGCACAAGCTGGAGTACAACTACAACAGCCAC"
    "AACGTCTATATCATGGCCGACAAGCAGAAGAACGGCATCAAGGTGAACTTCAAGATCCGCCACAACATCGAGGACGGCAGCGTGCAGCTCGCCGACCACTACCAGCAGAACA"
    "CCCCCATCGGCGACGGCCCCGTGCTGCTGCCCGACAACCACTACCTGAGCACCCAGTCCGCCCTGAGCAAAGACCCCAACGAGAAGCGCGATCACATGGTCCTGCTGGAGTT"
    "CGTGACCGCCGCCGGGATCACTCTCGGCATGGACGAGCTGTACAAGTAA",
}
SETS = {
    Modality.SMILES: (MOLECULES, "4 token swaps, RDKit accepts it"),
    Modality.AMINO_ACID: (PROTEINS, "a fifth of the residues replaced"),
    Modality.NUCLEOTIDE: (CODING_SEQUENCES, "a fifth of the bases replaced"),
}
RUBBISH = ["", "   ", "C1CC", "c1ccccc", "not a molecule", "CCO CCO", "C" * 1_000_000, "\0", "😀", "MKT>VRQ"]
CORRUPTIONS = 10
BAR = 0.8


def corruptions(sequence: str, modality: Modality, rng: np.random.Generator) -> list[str]:
    """Return corrupted copies of a sequence."""
    if modality is Modality.SMILES:
        found = (swap_tokens(sequence, rng) for _ in range(CORRUPTIONS))
        return [corrupted for corrupted in found if corrupted]
    return [corrupt_letters(sequence, modality, rng, rate=0.2) for _ in range(CORRUPTIONS)]


def check_preference(reward: UmeRewardFunction, modality: Modality) -> bool:
    """Print how often real sequences beat their corruptions."""
    known, how = SETS[modality]
    rng = np.random.default_rng(0)
    print(f"\n{modality}: real against corrupted ({how})")
    won: list[bool] = []
    for name, sequence in known.items():
        rivals = corruptions(sequence, modality, rng)
        real, *others = (s.score for s in reward.score([sequence, *rivals], [modality] * (1 + len(rivals))))
        wins = [real > other for other in others]
        won += wins
        print(f"  {name:20} {real:.3f}  corrupted {np.mean(others):.3f}  wins {sum(wins):2} of {len(wins)}")
    share = float(np.mean(won))
    return verdict(f"real ones win {share:.0%} of {len(won)} pairs", share >= BAR, f"at least {BAR:.0%}")


def check_rubbish(reward: UmeRewardFunction) -> bool:
    """Everything that is no molecule must get 0."""
    rewards = reward(RUBBISH)
    return verdict(f"{len(RUBBISH)} texts that are no molecules: rewards {sorted(set(rewards))}", not any(rewards), "0")


def check_stability(reward: UmeRewardFunction) -> bool:
    """A score must not depend on the batch."""
    sequences = [s for modality in reward.encoder.modalities for s in SETS[modality][0].values()]
    together = np.array(reward(sequences))
    alone = np.array([reward([s])[0] for s in sequences])
    gap = float(np.abs(together - alone).max() / alone.max())
    return verdict(f"together and alone differ by {gap:.1e} at most", gap < 1e-4, "below 1e-4")


def verdict(what: str, passed: bool, bar: str) -> bool:
    """Print pass or fail."""
    print(f"{'PASS' if passed else 'FAIL'}  {what} (expected: {bar})")
    return passed


def main() -> int:
    """Run all checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ume", default="ume-mini-base-12M", help="a shipped name, a folder, a Hub id or a .ckpt")
    parser.add_argument(
        "--modality", help="what an encoder that is no UME reads, where its vocabulary can write several"
    )
    parser.add_argument("--tokenizers", help="folder of tokenizers, for a .ckpt")
    parser.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    arguments = parser.parse_args()
    disable_progress_bar()
    try:
        ume = load_encoder(arguments.ume, arguments.modality, arguments.device, tokenizer=arguments.tokenizers)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    reward = UmeRewardFunction(ume)
    print(f"{arguments.ume} on {ume.device}")
    results = [check_preference(reward, modality) for modality in ume.modalities]
    print("\nrobustness")
    results += [check_rubbish(reward), check_stability(reward)]
    print(f"\n{'PASS' if all(results) else 'FAIL'}: {sum(results)} of {len(results)} checks passed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
