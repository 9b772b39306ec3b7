#!/bin/sh
# Lightning 2.6.6: Ctrl-C in Trainer.fit is a SystemExit, not a KeyboardInterrupt.
#
# Guess: a KeyboardInterrupt in a training step comes out of Trainer.fit as a KeyboardInterrupt, or fit returns early with
# trainer.interrupted, as it did for years.
# Seen: fit raises SystemExit(1): it passes `except Exception` and `except KeyboardInterrupt` of whoever called it, so that
# what they would have saved or cleaned up there is not, and the program ends without a word. trainer.interrupted is True
# all the same. Whoever calls fit must catch SystemExit too.
#
#   interrupted: SystemExit(1), trainer.interrupted True
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0
"$folder/env/bin/pip" install --quiet lightning==2.6.6 "numpy<3"
cat > "$folder/seen.py" <<'PY'
import logging
import signal
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

import lightning
import torch


class Interrupted(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        signal.raise_signal(signal.SIGINT)  # what Ctrl-C sends

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, enable_model_summary=False)
try:
    trainer.fit(Interrupted(), torch.utils.data.DataLoader(torch.zeros(4, 1)))
    print("interrupted: fit returned")
except BaseException as error:
    print(f"interrupted: {type(error).__name__}({error}), trainer.interrupted {trainer.interrupted}")
PY
"$folder/env/bin/python" "$folder/seen.py" 2>/dev/null | tee "$folder/out"
grep -qx "interrupted: SystemExit(1), trainer.interrupted True" "$folder/out"
