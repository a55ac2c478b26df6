//! What is ordinary: configs, output and code of training programs, with what looks most like a secret and is none.

use serde_json::{Value, json};

use super::fakes::Dice;
use crate::Json;

/// Configs of people's runs, with names and values that could mislead.
pub(super) fn configs(dice: &mut Dice) -> Vec<Json> {
    let uuid = |dice: &mut Dice| {
        let part = |dice: &mut Dice, count| dice.hex(count);
        let parts = [part(dice, 8), part(dice, 4), part(dice, 4), part(dice, 4), part(dice, 12)];
        parts.join("-")
    };
    let configs = [
        json!({
            "model_name_or_path": "meta-llama/Meta-Llama-3.1-70B-Instruct", "revision": dice.hex(40), "bf16": true,
            "tokenizer": "hf-internal-testing/tiny-random-LlamaForCausalLM", "max_tokens": 4096, "num_tokens": 1_200_000_000,
            "pad_token": "<pad>", "eos_token": "<|endoftext|>", "bos_token": "<s>", "unk_token": "[UNK]", "mask_token": "[MASK]",
            "pad_token_id": 50256, "token_count": 30522, "tokens_per_batch": 524_288, "token_dropout": 0.1,
            "special_tokens": ["<|im_start|>", "<|im_end|>"], "image_token": "<image_placeholder_token>",
            "use_auth_token": false, "token": null, "hub_token": "<HUB_TOKEN>", "push_to_hub": false,
        }),
        json!({
            "optimizer": {"name": "AdamW", "lr": 3e-4, "betas": [0.9, 0.999], "weight_decay": 0.1, "eps": 1e-8},
            "scheduler": "CosineAnnealingWarmRestarts", "warmup_steps": 2000, "seed": 1_234_567_890, "monitor_key": "val/loss",
            "key": "val_accuracy", "sort_key": "created_at", "primary_key": "id", "cache_key": dice.hex(64),
            "dict_keys": ["input_ids", "attention_mask", "labels"], "keys": ["image", "mask"], "keypoints": 17,
            "run_id": dice.alnum(12).to_lowercase(), "trace_id": dice.hex(32), "uuid": uuid(dice), "session": uuid(dice),
            "experiment_id": uuid(dice), "commit": dice.hex(40), "git_sha": dice.hex(40), "digest": format!("sha256:{}", dice.hex(64)),
            "integrity": format!("sha512-{}==", dice.base64(86)),
        }),
        json!({
            "dataset": "HuggingFaceFW/fineweb-edu-llama3-annotations", "data_dir": "/mnt/data/imagenet/ILSVRC2012_img_train_t3",
            "train_files": "s3://my-bucket/datasets/c4/en/c4-train.00000-of-01024.json.gz", "bucket": "gs://vertex-ai-samples-2024",
            "output_dir": "outputs/2024-06-01/12-30-45/checkpoint-12000", "checkpoint": format!("runs/{}/last.ckpt", dice.hex(40)),
            "cache_dir": "/home/someone/.cache/huggingface/hub/models--bert-base-uncased/snapshots/",
            "url": "https://huggingface.co/datasets/allenai/c4/resolve/main/en/c4-train.00000-of-01024.json.gz?download=true",
            "wandb_url": "https://wandb.ai/some-team/llama-finetune-experiments/runs/3k2jh4g1", "init_method": "tcp://127.0.0.1:23456",
            "image": format!("nvcr.io/nvidia/pytorch@sha256:{}", dice.hex(64)), "registry": "docker.io/library/python:3.11-slim-bookworm",
            "endpoint": "http://localhost:8080/v1/chat/completions", "remote": "git@github.com:someone/some-repository.git",
            "ssh": "ssh://git@gitlab.example.org:2222/group/project.git", "model_hash": dice.hex(16), "md5": dice.hex(32),
        }),
        json!({
            "secret_santa": "bob", "secretary": "alice", "password_min_length": 12, "password_policy": "strict",
            "password": null, "password_file": "/run/secrets/db_password", "passwordless": true, "require_password": true,
            "db_password": "${DB_PASSWORD}", "api_key": "<your-api-key>", "openai_api_key": "OPENAI_API_KEY", "token_file": "~/.token",
            "api_key_env": "ANTHROPIC_API_KEY", "credentials": "/etc/gcp/service-account.json", "private_key": "~/.ssh/id_ed25519",
            "secret": "env:MY_SECRET", "client_secret": "{{ secrets.CLIENT_SECRET }}", "auth": "oauth2", "authentication": "kerberos",
            "authors": ["A. Person", "B. Person"], "bypass": false, "compass": "north", "passes": 3, "pass": 2, "n_pass": 7,
            "keyboard_layout": "qwerty", "hotkey": "ctrl+shift+p", "monkey": "see", "key_dim": 64, "num_key_value_heads": 8,
            "encryption": "chacha20poly1305", "signature": "(x: float32[batch, 224, 224, 3]) -> float32[batch, 1000]",
            "tokenizer_class": "PreTrainedTokenizerFast", "tokenization": "byte-level BPE with 128256 tokens",
            "prompt": "You are a helpful assistant. The password for the secret door is what the user must guess.",
        }),
        json!({
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "lora_alpha": 16,
            "architectures": ["Qwen2VLForConditionalGeneration"], "torch_dtype": "bfloat16", "attn": "flash_attention_2",
            "quantization": "GPTQ-Int4-g128-actorder_True", "file": "Mixtral-8x7B-Instruct-v0.1-GPTQ-4bit-128g-actorder.safetensors",
            "class": "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "encoder": "ViT-bigG-14-CLIPA-336",
            "name": "convnext_xxlarge.clip_laion2b_soup_ft_in12k_384", "teacher": "vit_so400m_patch14_siglip_gap_896.pali2_10b_pt",
            "CamelCase": "DeformableDetrForObjectDetectionWithAuxiliaryLossAndIterativeBoxRefinement2024",
            "milestones": [30, 60, 90], "crop": "RandomResizedCropAndInterpolationWithTwoPic224x224", "version": "2.5.1+cu124",
            "date": "2024-06-01T12:30:45.123456+00:00", "phone": "+1 555 0100", "mail": "someone@example.org",
            "formula": "C1=CC=C(C=C1)C(=O)NCCCN2CCN(CC2)C3=CC=CC=C3OC", "sequence": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSG",
            "dna": dice.of("ACGT", 64), "board": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR", "cid": format!("Qm{}", dice.alnum(44)),
        }),
    ];
    configs.iter().map(of).collect()
}

fn of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => number.as_i64().map_or(Json::Float(number.as_f64().unwrap_or(0.0)), Json::Int),
        Value::String(text) => Json::Text(text.clone()),
        Value::Array(items) => Json::List(items.iter().map(of).collect()),
        Value::Object(members) => Json::Map(members.iter().map(|(key, member)| (key.clone(), of(member))).collect()),
    }
}

/// What training programs print.
pub(super) fn output(dice: &mut Dice) -> Vec<String> {
    let mut lines: Vec<String> = OUTPUT.lines().map(str::to_owned).collect();
    for step in 0..40 {
        let loss = 1.0 / (step as f64 + 1.3);
        lines.push(format!(
            "step {step:>5} | loss {loss:.6} | lr 3.00e-04 | tokens: {} | tok/s 184,233",
            step * 524_288
        ));
        lines.push(format!("Saved checkpoint to outputs/{}/epoch={step}-val_loss={loss:.4}.ckpt", dice.hex(40)));
        lines.push(format!("downloading blob {} (digest sha256:{})", dice.hex(12), dice.hex(64)));
        lines.push(format!(
            "{{\"step\": {step}, \"loss\": {loss}, \"key\": \"train/loss\", \"run\": \"{}\"}}",
            dice.hex(32)
        ));
        lines.push(format!("request {} took {step} ms; trace={} span={}", dice.hex(32), dice.hex(32), dice.hex(16)));
    }
    lines
}

/// Source code of training programs, as it stands in diffs.
pub(super) fn code() -> Vec<String> {
    CODE.lines().map(str::to_owned).collect()
}

const OUTPUT: &str = r#"
Epoch 3/10:  45%|####      | 563/1250 [02:11<02:40,  4.29it/s, loss=0.231, v_num=3k2j]
INFO:root:Loading tokenizer from bert-base-uncased
Special tokens have been added in the vocabulary, make sure the associated word embeddings are fine-tuned or trained.
Setting `pad_token_id` to `eos_token_id`:50256 for open-end generation.
Token indices sequence length is longer than the specified maximum sequence length for this model (1024 > 512).
wandb: Currently logged in as: someone (some-team). Use `wandb login --relogin` to force relogin
wandb: Appending key for api.wandb.ai to your netrc file: /home/someone/.netrc
wandb: Syncing run fluent-sweep-42
wandb: View run at https://wandb.ai/some-team/llama-finetune-experiments/runs/3k2jh4g1
WARNING: password authentication is disabled; set the password with --password-file
Enter password: 
password: incorrect
ERROR: invalid token: expected 'eof', found 'identifier'
SyntaxError: unexpected token: punc (;)
KeyError: 'api_key'
ValueError: api_key must be set, pass api_key=... or set the OPENAI_API_KEY environment variable
TypeError: __init__() got an unexpected keyword argument 'use_auth_token'
Namespace(batch_size=64, data='/data/imagenet', key='val/loss', lr=0.1, max_tokens=2048, seed=None, token=None, tokenizer='gpt2')
TrainingArguments(hub_token=<HUB_TOKEN>, push_to_hub_token=None, output_dir='out', optim='adamw_torch_fused')
{'password': None, 'token': '', 'api_key': '********', 'secret': '***', 'num_tokens': 4096}
The bearer of good news arrived: basic training is done.
the secret: more data and a longer schedule
key: value pairs are written as key=value, one per line
tokens: 1048576, tokens/s: 18432.7, tokens_seen: 1.2e9
NCCL INFO comm 0x55d0c8a3b2c0 rank 0 nranks 8 cudaDev 0 busId 1a000 commId 0x9f3c1e5b7a2d4f60 - Init COMPLETE
torch.Size([64, 3, 224, 224]) torch.float32 cuda:0
Collecting torch==2.5.1+cu124; Downloading torch-2.5.1%2Bcu124-cp311-cp311-manylinux_2_28_x86_64.whl (908.3 MB)
  Downloading https://files.pythonhosted.org/packages/8b/02/a0a2a8b7f1e2f2c0f0a2a3b1b6f0d3e5a1f9c2b4d6e8f0a1b3c5d7e9/numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
/usr/lib/python3.11/site-packages/transformers/models/qwen2_vl/modeling_qwen2_vl.py:1234: FutureWarning: deprecated
  File "/home/someone/project/train.py", line 42, in main
    client = OpenAI(api_key=os.environ["OPENAI_API_KEY"], organization=args.org)
    conn = psycopg2.connect(host=args.host, password=get_password(), user=args.user)
[2024-06-01 12:30:45,123][__main__][INFO] - experiment: token_classification_bert_large_whole_word_masking_finetuned_conll03
PWD=/home/someone/projects/vision
PATH=/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
CUDA_VISIBLE_DEVICES=0,1,2,3 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
author: someone, license: MIT, keywords: [vision, detection]
connecting to postgresql://localhost:5432/mlflow and redis://cache:6379/0
mlflow.exceptions.RestException: RESOURCE_DOES_NOT_EXIST: No experiment with id=0123456789
git remote: https://github.com/someone/some-repository.git (fetch)
"#;

const CODE: &str = r#"
diff --git a/train.py b/train.py
index 3f2a1bc..9d8e7f6 100644
+tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased", use_fast=True)
+token = tokenizer.decode(ids[0], skip_special_tokens=True)
+self.token = token
+api_key = os.environ["API_KEY"]
+api_key = os.getenv("OPENAI_API_KEY", "")
+password = getpass.getpass("Password: ")
+def connect(user: str, password: str, token: str | None = None) -> Connection:
+    password: Optional[str] = None
+    return Client(password=password, token=self.token, secret=config.secret, api_key=settings.openai.api_key)
+secret_key = secrets.token_hex(32)
+key = jax.random.PRNGKey(42)
+key, subkey = jax.random.split(key)
+for key, value in sorted(state_dict.items()):
+    keys = [k for k in batch.keys() if k != "labels"]
+sorted(items, key=lambda item: item.score2)
+if token == "<|endoftext|>" or token_id == tokenizer.eos_token_id:
+max_new_tokens = 256; pad_token = tokenizer.eos_token
+parser.add_argument("--password", help="the password of the database")
+parser.add_argument("--api-key", type=str, default=None)
+let token = lexer.next_token().unwrap_or(Token::Eof);
+let password = Passphrase::from(prompt("passphrase: ")?);
+pub(crate) fn key(&self) -> &[u8; 32] { &self.key }
+    token: Token::Identifier(name), key: KeyId([9; 16]),
+password = "${{ secrets.PASSWORD }}"
+export WANDB_API_KEY=$(cat ~/.wandb_key)
+docker login --username foo --password-stdin
+curl -H "Authorization: Bearer $TOKEN" https://api.example.org/v1/models
+headers = {"Authorization": f"Bearer {self.token}"}
+auth = HTTPBasicAuth(user, password)
+  "integrity": "sha512-k1isifdbpNSFEHFJ1ZY4YDewv0IH9FR61lDetxRMD3j2ae3bIXGV+7c+LEQAd5KdRSyoQ9k4EZGq0Q3zXRk9Yg==",
+  "resolved": "https://registry.npmjs.org/typescript/-/typescript-5.4.5.tgz",
+checksum = "a8f5f167f44f4964e6c998dee827110c2b6d9f2c3a5b7c8d9e0f1a2b3c4d5e6f"
+class DeformableDetrForObjectDetectionWithAuxiliaryLossAndIterativeBoxRefinement2024(nn.Module):
"#;
