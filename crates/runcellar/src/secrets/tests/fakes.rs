//! Fake secrets, made when the tests run: nothing that looks like a secret stands in the tree.

/// Numbers without an end, equal for equal seeds (xorshift64*; Vigna 2016, doi:10.1145/2845077).
pub(super) struct Dice(u64);

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % count
    }

    pub(super) fn one_of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    pub(super) fn of(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| letters[self.below(letters.len())]).collect()
    }

    pub(super) fn alnum(&mut self, count: usize) -> String {
        self.of(&[LOWER, UPPER, DIGITS].concat(), count)
    }

    pub(super) fn hex(&mut self, count: usize) -> String {
        self.of("0123456789abcdef", count)
    }

    pub(super) fn url(&mut self, count: usize) -> String {
        // The last is no sign, as it may end a word.
        self.of(&[LOWER, UPPER, DIGITS, "-_"].concat(), count - 1) + &self.alnum(1)
    }

    pub(super) fn base64(&mut self, count: usize) -> String {
        self.of(&[LOWER, UPPER, DIGITS, "+/"].concat(), count)
    }

    pub(super) fn upper(&mut self, count: usize) -> String {
        self.of(&[UPPER, "234567"].concat(), count)
    }

    /// A password as people and password managers make them.
    pub(super) fn password(&mut self) -> String {
        let word =
            self.one_of(&["hunter", "tiger", "sunshine", "dragon", "correcthorse", "kitten", "maple"]).to_owned();
        match self.below(4) {
            0 => word + &self.of(DIGITS, 2),
            1 => word + "!" + &self.of(DIGITS, 4),
            2 => {
                let length = 12 + self.below(12);
                self.alnum(length)
            }
            _ => self.alnum(8) + self.one_of(&["!", "#", "@", "$", "%"]) + &self.alnum(4),
        }
    }
}

/// A fake token of every rule that is the shape of one: (rule, token).
pub(super) fn tokens(dice: &mut Dice) -> Vec<(&'static str, String)> {
    let pick = |dice: &mut Dice, prefixes: &[&str]| dice.one_of(prefixes).to_owned();
    vec![
        ("age-key", format!("AGE-SECRET-KEY-1{}", dice.of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58))),
        ("anthropic-key", format!("sk-ant-api03-{}", dice.url(95))),
        ("atlassian-token", format!("ATATT3{}", dice.url(180))),
        ("aws-access-key", pick(dice, &["AKIA", "ASIA"]) + &dice.upper(16)),
        ("crates-io-token", format!("cio{}", dice.alnum(32))),
        ("databricks-token", format!("dapi{}", dice.hex(32))),
        ("digitalocean-token", format!("dop_v1_{}", dice.hex(64))),
        ("docker-token", format!("dckr_pat_{}", dice.url(27))),
        ("github-token", pick(dice, &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]) + &dice.alnum(36)),
        ("github-token", format!("github_pat_{}_{}", dice.alnum(22), dice.alnum(59))),
        ("gitlab-token", format!("glpat-{}", dice.url(20))),
        ("google-api-key", format!("AIza{}", dice.url(35))),
        ("google-oauth", format!("GOCSPX-{}", dice.url(28))),
        ("google-oauth", format!("ya29.{}", dice.url(120))),
        ("groq-key", format!("gsk_{}", dice.alnum(52))),
        ("huggingface-token", format!("hf_{}", dice.alnum(34))),
        ("jwt", format!("eyJ{}.eyJ{}.{}", dice.url(30), dice.url(80), dice.url(43))),
        ("linear-key", format!("lin_api_{}", dice.alnum(40))),
        ("npm-token", format!("npm_{}", dice.alnum(36))),
        ("nvidia-key", format!("nvapi-{}", dice.url(64))),
        ("openai-key", format!("sk-{}", dice.alnum(48))),
        ("openai-key", format!("sk-proj-{}", dice.url(120))),
        ("perplexity-key", format!("pplx-{}", dice.alnum(48))),
        ("pypi-token", format!("pypi-AgE{}", dice.url(150))),
        ("replicate-token", format!("r8_{}", dice.alnum(37))),
        ("rubygems-key", format!("rubygems_{}", dice.hex(48))),
        ("sendgrid-key", format!("SG.{}.{}", dice.url(22), dice.url(43))),
        ("shopify-token", format!("shpat_{}", dice.hex(32))),
        ("slack-token", pick(dice, &["xoxb-", "xoxp-"]) + &format!("{}-{}", dice.of(DIGITS, 12), dice.alnum(24))),
        ("slack-webhook", format!("hooks.slack.com/services/T{}/B{}/{}", dice.upper(8), dice.upper(8), dice.alnum(24))),
        ("stripe-key", pick(dice, &["sk_live_", "rk_live_", "sk_test_"]) + &dice.alnum(24)),
        ("tailscale-key", format!("tskey-auth-{}-{}", dice.alnum(11), dice.alnum(32))),
        ("telegram-token", format!("{}:AA{}", dice.of("123456789", 10), dice.url(33))),
        ("twilio-key", format!("SK{}", dice.hex(32))),
        ("vault-token", format!("hvs.{}", dice.url(90))),
        ("wandb-key", format!("wandb_v1_{}", dice.url(77))),
        ("xai-key", format!("xai-{}", dice.alnum(80))),
        ("random", dice.base64(40)),
        ("random", dice.alnum(40)),
        ("random", dice.base64(86) + "=="),
    ]
}

/// Secrets that only a name or a way of writing gives away: (name, secret).
pub(super) fn named(dice: &mut Dice) -> Vec<(&'static str, String)> {
    vec![
        ("password", dice.password()),
        ("db_password", dice.password()),
        ("PGPASSWORD", dice.password()),
        ("smtpPassword", dice.password()),
        ("passphrase", dice.password()),
        ("aws_secret_access_key", dice.base64(40)),
        ("api_key", dice.hex(32)),
        ("API_KEY", dice.alnum(24)),
        ("wandb_api_key", dice.hex(40)),
        ("apiKey", dice.url(39)),
        ("client_secret", dice.url(34)),
        ("secret_key", dice.alnum(50)),
        ("access_token", dice.alnum(30)),
        ("hf_token", dice.alnum(37)),
        ("token", dice.hex(64)),
        ("auth_token", dice.hex(32)),
        ("AccountKey", dice.base64(86) + "=="),
        ("azure_storage_key", dice.base64(86) + "=="),
        ("neptune_api_token", format!("eyJhcGlf{}", dice.base64(120))),
        ("slack_signing_secret", dice.hex(32)),
    ]
}
