//! What is looked for: the rules by name, and the shapes of tokens that providers give out.

/// One kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Name, as findings show it.
    pub name: &'static str,
    /// What it looks like.
    pub looks_like: &'static str,
}

/// A rule that is no shape of a token but a way of writing.
const fn rule(name: &'static str, looks_like: &'static str) -> Rule {
    Rule { name, looks_like }
}

pub(super) const PRIVATE_KEY: Rule =
    rule("private-key", "a PEM or OpenSSH block `-----BEGIN ... PRIVATE KEY-----`, in one line or in many");
pub(super) const URL_PASSWORD: Rule = rule("url-password", "the password of `scheme://user:password@host`");
pub(super) const AUTHORIZATION: Rule = rule("authorization", "what follows `Authorization:`, `Bearer` or `Basic`");
pub(super) const JWT: Rule = rule("jwt", "a JSON web token: `eyJ`, and three parts of base64 with dots between");
pub(super) const TELEGRAM: Rule = rule("telegram-token", "8 to 10 digits, a colon, `AA` and 33 characters");
pub(super) const WANDB: Rule =
    rule("wandb-key", "40 hexadecimal digits after `login`, or after `password` in `.netrc`");
pub(super) const PASSWORD: Rule =
    rule("password", "the value of a name that ends in `password`, `passwd`, `passphrase`");
pub(super) const SECRET: Rule = rule(
    "secret",
    "a value of 8 characters and more that is not just words, under a name such as `api_key` or `secret`",
);
pub(super) const TOKEN: Rule = rule("token", "a long random value under a name that ends in `token`, `key`, `auth`");
pub(super) const RANDOM: Rule =
    rule("random", "32 to 256 random characters of base64 that stand alone, capitals, small letters and digits");

/// Rules that are no shapes.
pub(super) const OTHERS: [Rule; 10] =
    [PRIVATE_KEY, URL_PASSWORD, AUTHORIZATION, JWT, TELEGRAM, WANDB, PASSWORD, SECRET, TOKEN, RANDOM];

/// What a token consists of after its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Letters and digits.
    Alnum,
    /// Capital letters and digits.
    Upper,
    /// Hexadecimal digits, small letters.
    Hex,
    /// Letters, digits, `-` and `_`.
    Url,
    /// The same and dots.
    Dotted,
    /// Letters, digits and `/`.
    Path,
    /// The same as `Url`, and the whole must look random: the prefix is one that words have, too.
    Random,
}

impl Body {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Body::Alnum => byte.is_ascii_alphanumeric(),
            Body::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Body::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Body::Url | Body::Random => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Body::Path => byte.is_ascii_alphanumeric() || byte == b'/',
            Body::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        }
    }
}

/// A token that a provider gives out: a prefix, and how long the rest is.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) rule: Rule,
    pub(super) prefixes: &'static [&'static str],
    pub(super) body: Body,
    pub(super) min: usize,
    pub(super) max: usize,
}

macro_rules! shapes {
    ($(($name:literal, $looks:literal, $prefixes:expr, $body:ident, $min:literal ..= $max:literal)),+ $(,)?) => {
        &[$(Shape {
            rule: rule($name, $looks), prefixes: &$prefixes, body: Body::$body, min: $min, max: $max,
        }),+]
    };
}

/// The shapes; of two that fit, the first counts. Sources: the providers' documentation, and what they say to scanners of
/// code (github.com/gitleaks/gitleaks, docs.github.com "Supported secret scanning patterns").
#[rustfmt::skip]
pub(super) const SHAPES: &[Shape] = shapes![
    ("age-key", "`AGE-SECRET-KEY-1` and 58 characters", ["AGE-SECRET-KEY-1"], Upper, 58..=58),
    ("anthropic-key", "`sk-ant-` and 20 characters or more", ["sk-ant-"], Url, 20..=200),
    ("atlassian-token", "`ATATT3` and 100 characters or more", ["ATATT3"], Url, 100..=250),
    ("aws-access-key", "`AKIA`, `ASIA`, `ABIA` or `ACCA`, and 16 capitals or digits", ["AKIA", "ASIA", "ABIA", "ACCA"], Upper, 16..=16),
    ("crates-io-token", "`cio` and 32 letters or digits", ["cio"], Alnum, 32..=32),
    ("databricks-token", "`dapi` and 32 hexadecimal digits", ["dapi"], Hex, 32..=34),
    ("digitalocean-token", "`dop_v1_`, `doo_v1_` or `dor_v1_` and 64 hexadecimal digits", ["dop_v1_", "doo_v1_", "dor_v1_"], Hex, 64..=64),
    ("docker-token", "`dckr_pat_` and 27 characters or more", ["dckr_pat_"], Url, 27..=64),
    ("github-token", "`ghp_`, `gho_`, `ghu_`, `ghs_` or `ghr_` and 36 letters or digits; `github_pat_` and 60 or more", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Alnum, 36..=255),
    ("github-token", "", ["github_pat_"], Url, 60..=255),
    ("gitlab-token", "`glpat-`, `gldt-`, `glrt-`, `glcbt-` or `glptt-` and 20 characters or more", ["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"], Dotted, 20..=300),
    ("google-api-key", "`AIza` and 35 characters", ["AIza"], Url, 35..=35),
    ("google-oauth", "`GOCSPX-` and 28 characters; `ya29.` and 20 or more", ["GOCSPX-"], Url, 28..=28),
    ("google-oauth", "", ["ya29."], Url, 20..=1024),
    ("groq-key", "`gsk_` and 52 letters or digits", ["gsk_"], Alnum, 48..=56),
    ("huggingface-token", "`hf_` or `api_org_` and 34 letters or digits", ["hf_", "api_org_"], Alnum, 30..=40),
    ("linear-key", "`lin_api_` and 40 letters or digits", ["lin_api_"], Alnum, 40..=40),
    ("npm-token", "`npm_` and 36 letters or digits", ["npm_"], Alnum, 36..=36),
    ("nvidia-key", "`nvapi-` and 60 characters or more", ["nvapi-"], Url, 60..=80),
    ("openai-key", "`sk-` and 20 random characters or more (`sk-proj-` and `sk-svcacct-` too)", ["sk-"], Random, 20..=250),
    ("perplexity-key", "`pplx-` and 48 letters or digits", ["pplx-"], Alnum, 40..=64),
    ("pypi-token", "`pypi-AgE` and 50 characters or more", ["pypi-AgE"], Url, 50..=512),
    ("replicate-token", "`r8_` and 37 letters or digits", ["r8_"], Alnum, 37..=40),
    ("rubygems-key", "`rubygems_` and 48 hexadecimal digits", ["rubygems_"], Hex, 48..=48),
    ("sendgrid-key", "`SG.`, and 66 characters with a dot", ["SG."], Dotted, 60..=72),
    ("shopify-token", "`shpat_`, `shpca_`, `shppa_` or `shpss_` and 32 hexadecimal digits", ["shpat_", "shpca_", "shppa_", "shpss_"], Alnum, 32..=32),
    ("slack-token", "`xoxb-`, `xoxp-`, `xoxa-`, `xoxr-`, `xoxs-`, `xoxe.` or `xapp-` and 10 characters or more", ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe.", "xoxe-", "xapp-"], Dotted, 10..=400),
    ("slack-webhook", "what follows `hooks.slack.com/services/`", ["hooks.slack.com/services/T"], Path, 20..=80),
    ("stripe-key", "`sk_live_`, `sk_test_`, `rk_live_`, `rk_test_` or `whsec_` and 16 letters or digits or more", ["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"], Alnum, 16..=250),
    ("tailscale-key", "`tskey-` and 20 characters or more", ["tskey-"], Url, 20..=80),
    ("twilio-key", "`SK` and 32 hexadecimal digits", ["SK"], Hex, 32..=32),
    ("vault-token", "`hvs.` or `hvb.` and 24 characters or more", ["hvs.", "hvb."], Url, 24..=300),
    ("wandb-key", "", ["wandb_v1_"], Url, 40..=120),
    ("xai-key", "`xai-` and 70 letters or digits or more", ["xai-"], Alnum, 70..=90),
];

/// Returns every rule, each once.
pub fn rules() -> impl Iterator<Item = Rule> {
    let shapes = SHAPES.iter().map(|shape| shape.rule).filter(|rule| !rule.looks_like.is_empty());
    shapes.chain(OTHERS)
}

/// Tells for a byte whether a shape, or another rule that begins with a word, may begin with it.
pub(super) const FIRST: [bool; 256] = {
    let mut first = [false; 256];
    let mut shape = 0;
    while shape < SHAPES.len() {
        let mut prefix = 0;
        while prefix < SHAPES[shape].prefixes.len() {
            first[SHAPES[shape].prefixes[prefix].as_bytes()[0] as usize] = true;
            prefix += 1;
        }
        shape += 1;
    }
    first
};
