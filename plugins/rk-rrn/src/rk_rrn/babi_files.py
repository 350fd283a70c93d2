"""The files of bAbI: version 1.2, English, 9,000 training, 1,000 validation and 1,000 test questions per task."""

from __future__ import annotations

import io
import tarfile

from rk.files import content, damaged, data_folder, fetch, is_intact

HOME = (
    "https://raw.githubusercontent.com/diixo/bAbi-tasks-with-transformer-model/"
    "ef2bdcb7d297d83097983b27c79336558fe06a94/datasets/tasks_1-20_v1-2"
)
PACKED = "babi/tasks_1-20_v1-2_en-valid-10k.tar.gz"
"""All files in one: a copy in the data folder will do."""
PACKED_CHECKSUM = "9cb6ac491abf116004529a155d18c902ca3b3740574a625175dbdca67e3eed5b"
CHECKSUMS = {
    "en-valid-10k/qa1_train.txt": "6f3dad60b5001427caf740404d6106aaea7257dc8e75a73afd4289475bed705a",
    "en-valid-10k/qa1_valid.txt": "a7a41a89ca009b00cd5869bb949f47bb21c3b5c4df424cd1795a5e6067f0562e",
    "en-valid-10k/qa1_test.txt": "55acf66cef2f6d798e2aa1d056e1ec8f24e910ea9215b639450574321132959b",
    "en-valid-10k/qa2_train.txt": "e074f5119e67bca02338882e5fc50616a271d824dfde977f9c643fd3fa8748c5",
    "en-valid-10k/qa2_valid.txt": "cf3cb2877eada0bff7e84fe0cbbcc70fb45ea855c583fe963c6eb25c426726cc",
    "en-valid-10k/qa2_test.txt": "eff93fb9cd81ba02eb765772cf7cc269769ed44ec71cbbbc19cfb16ee5eba0f6",
    "en/qa3_three-supporting-facts_train.txt": "a6e78019f36a02a7ed71fe6aaded0b563ff09c8deec392931801fcd9c6af4d60",
    "en-valid-10k/qa3_valid.txt": "8da018e1b079299c25b34c62a509cde6b9820735c398357e69d1d72a1cc54537",
    "en-valid-10k/qa3_test.txt": "17795c977100baf8188f386522ae301b62d6c1a13efc01b3aea781e588b4d57f",
    "en-valid-10k/qa4_train.txt": "2cf269f9ccfe792e50ac4c364f9ea9f6dabf23c64b8826e25c884b2e4ca2a678",
    "en-valid-10k/qa4_valid.txt": "6864535aa47280f2486d93d0f5e209c0e720a97cdcdd0ed406e63929c7c28845",
    "en-valid-10k/qa4_test.txt": "07f0ca18ddeea9eed4ba6d59e162adcb0ce44815721114b3540d92825509331e",
    "en-valid-10k/qa5_train.txt": "998903406d464de7cfe622549bc7040403211da8e09891a9538d8de4858edf44",
    "en-valid-10k/qa5_valid.txt": "db165e176ce585ee745fb797386fc9c28512eb28060fde810c77b76ac530cbe2",
    "en-valid-10k/qa5_test.txt": "ec825c1c8a76e63a31f0d7a7763cd63740e98332fa9bdf246a19068949bd5f97",
    "en-valid-10k/qa6_train.txt": "d3c276fd8041efb264e8589edea4f8f90488464b5ddf04fa163264711836636d",
    "en-valid-10k/qa6_valid.txt": "58b488903ec1a1f1bf98f003a383d78976cebff02fef9a3f4d7a5ece442c3105",
    "en-valid-10k/qa6_test.txt": "b108b16f1eccbd1c24df6dca2649079a7b2f10af7fd12d4c45a3393802de59e3",
    "en-valid-10k/qa7_train.txt": "3c1cfb0290981d2d4abeb37376522f3c21e51ffa310d19093a1a8efb7ee77223",
    "en-valid-10k/qa7_valid.txt": "f8fe1ebb0707269e059f6c874024d896e96eb4b3d03a001d9589487cdb6e51dd",
    "en-valid-10k/qa7_test.txt": "a74d1f2b91329b2bae814d41cdac2fbdfdf0328562b7d8afa9a0fa576d461e27",
    "en-valid-10k/qa8_train.txt": "4da116c3265b9ba97f3dc9cb97f463632f21f7e5e752a6a3deeb364cb683b7ae",
    "en-valid-10k/qa8_valid.txt": "03d2192ae6603df0841d250a9619f25ce1e6c70ade67c8d4c3dcdcda56af9632",
    "en-valid-10k/qa8_test.txt": "362a653c821a580fa315a85243b4f03bfa06fa7e0269b6f8e596f8fe6911646a",
    "en-valid-10k/qa9_train.txt": "186733a0526ff52c6761642bc57092fcbde75b408dc33c6521d8ccecff53b147",
    "en-valid-10k/qa9_valid.txt": "62c8156c69a2f399db0e4454ef174328d2b70ad7dab4a6ef834dfc312862e700",
    "en-valid-10k/qa9_test.txt": "63590aff3f89993db409f0e9a9eb39c2a5b9d5efff99b255d800a891b0044d9f",
    "en-valid-10k/qa10_train.txt": "3c4285c3f6e45fd85ba3944ca58b860c91ed44f1ed394723c7e268048e2f251c",
    "en-valid-10k/qa10_valid.txt": "df0a8d20028b11700862faec7dda64956d84a36e590e0eb2ea6188271bcf464b",
    "en-valid-10k/qa10_test.txt": "fde8f20ed0b3ba979058ed391a566af34653f23baab5b2793ee37f87ef4e88b7",
    "en-valid-10k/qa11_train.txt": "8217e55886155843be48d06b53c8e990b876cd99c6fce048e33b55f1f9a159f0",
    "en-valid-10k/qa11_valid.txt": "4b7c481dddd99bce8015425463cf9bac68cc55d19537b72cd1dca0910512ab61",
    "en-valid-10k/qa11_test.txt": "46f3290d0158ce1285a40cd2d793f5a65f86ae5000226e165cbc85a3dfeb2f6f",
    "en-valid-10k/qa12_train.txt": "d470857a0b3e0d4d92da39bc656053b35c990e14a1fa60761b707aa19eefb2c6",
    "en-valid-10k/qa12_valid.txt": "985abac1f0d2a166c29984dad03c170b93e671c5e99c5628a80271f782bbf157",
    "en-valid-10k/qa12_test.txt": "6437718f8f9801ce345869e910b896836cdc6fd2d01dc7b4d2df49730703b4b1",
    "en-valid-10k/qa13_train.txt": "93b8ea332cdc791f74520d8f6f456a90dec5e216c6e73f065d11bfbbd9673827",
    "en-valid-10k/qa13_valid.txt": "8bcc1a09ad8bc7dbba32cc241879045a0a58daee0fd90082b57105bb5a6e0e50",
    "en-valid-10k/qa13_test.txt": "76a25b684f23c9cc473d8cd1465506168b9a1ec8891cfc59d0bbd87e6a064990",
    "en-valid-10k/qa14_train.txt": "2eb60c0c728d9888f78d641322848b8ca2359272e1b8c2b974e9e51b15f7246e",
    "en-valid-10k/qa14_valid.txt": "00169215f1f0bf995c556611b55d344a1a1d3f502ed71ff7c881e2da7e703afc",
    "en-valid-10k/qa14_test.txt": "e3f0b19858ffbec3ed1e49076cc4d1295a89ce146c50318b862f13f202b3caf2",
    "en-valid-10k/qa15_train.txt": "1aa31d576e196ad37f3802d1e6639c61417c31d720e8289353b145fb6af2db9d",
    "en-valid-10k/qa15_valid.txt": "6fa344c75562d126fb56438ce993a8dbc630cd9e199a007d6ede4b005e6234e4",
    "en-valid-10k/qa15_test.txt": "32b77e117fe9acf5f94906684e3b5206de0108e646c76e1da3e022896ec7ee94",
    "en-valid-10k/qa16_train.txt": "5e6cbdcf78706889d066e7d4ef606a9eb9ad7e1d1fc33c4b406222f3f98aad4a",
    "en-valid-10k/qa16_valid.txt": "014ad9bb6f5f4a0141553f0e707a9a4e13fa617208888f15ea65f3ff9195b6d5",
    "en-valid-10k/qa16_test.txt": "4a11e55366f2a5a859b5a81f683ee23801bdbe71ef984e51adb976bd053e8dcf",
    "en-valid-10k/qa17_train.txt": "523425b8627312b9e169af60e46289f67e33358fe8f8a1efe2a365d06ad6ad1d",
    "en-valid-10k/qa17_valid.txt": "0f391eeb822e60d5a187b8456c58f2d75481a4c37bbf36047809b4f5ca824350",
    "en-valid-10k/qa17_test.txt": "9e1e0250ed4ec1831757fab26c04138f81ea557ebf6976a220db879cbed04bac",
    "en-valid-10k/qa18_train.txt": "29901ebd6831d8e19f452d98aec10f8ad0c40488ff56f8153a77cedbeeb1da23",
    "en-valid-10k/qa18_valid.txt": "a41d67b4056c373247fbb03840688e4ff199a04b32d6f28fe684118a7d8381e8",
    "en-valid-10k/qa18_test.txt": "d34f70eb7228a276fcb3a7854174fe562c5634f4fb454a39fc3d1ad9934be3ef",
    "en-valid-10k/qa19_train.txt": "59854cc0f60642e16f5c8d887dd4d4b1a44b072e2499f1605119f0f88309097d",
    "en-valid-10k/qa19_valid.txt": "b188a6a68134cc3662e8b4efa1e0d8d1e594400063c69b4f090f9a5825593719",
    "en-valid-10k/qa19_test.txt": "023e391f0d7f79c9e6ae1c46c093e2d0dbd50ab8fbd8965e037a75e3614c20e5",
    "en-valid-10k/qa20_train.txt": "d3176fc7c5f2c337e1d74e69dd17954d85f4c19585c5687d5963a9733ddd36da",
    "en-valid-10k/qa20_valid.txt": "ee57599d71919d00b2e864537c104cacb09432aa35a2a483e9ead323c6511ac4",
    "en-valid-10k/qa20_test.txt": "bd3bde3788ac14ba0ae095078f7b820fbd2bfa6a34dba9d1d46a34afde9c2729",
}
"""File -> its SHA-256. Of task 3, the training questions are the 1,000 of the smaller set: its copy has no others."""


def file_names(task: int) -> dict[str, str]:
    """Returns the file of each split of a task, from 1 to 20."""
    names = {split: f"en-valid-10k/qa{task}_{split}.txt" for split in ("train", "valid", "test")}
    if task == 3:
        names["train"] = "en/qa3_three-supporting-facts_train.txt"
    return names


def read_files(names: list[str]) -> dict[str, str]:
    """Returns the texts of files, from the packed copy in the data folder, or downloaded one by one.

    Raises:
        UserError: When a file cannot be had, or is another one.
    """
    packed = data_folder() / PACKED
    if not packed.is_file():
        paths = {name: fetch(f"babi/{name}", f"{HOME}/{name}", f"sha256:{CHECKSUMS[name]}") for name in names}
        return {name: content(path).decode("ascii") for name, path in paths.items()}
    if not is_intact(packed, f"sha256:{PACKED_CHECKSUM}"):
        raise damaged(packed)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content(packed))) as archive:
        for name in names:
            member = archive.extractfile(f"tasks_1-20_v1-2/{name}")
            assert member is not None  # the checksum is that of an archive that has it
            found[name] = member.read().decode("ascii")
    return found
