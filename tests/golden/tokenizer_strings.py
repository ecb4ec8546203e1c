"""The strings whose token ids tests/golden holds: every way of splitting text that a byte-level BPE
pre-tokenizer can get wrong. Order matters only to the diff of a regenerated golden."""

WHITESPACE = [
    "", " ", "  ", "   leading", "trailing   ", "\n", "\n\n", "\n\n\n  x", "\t", "\t\tif x:", "\r\n",
    "a\r\nb", "a\nb\nc", "a \nb", "a  \n  b", "a\t b", "\n \n", " \n \n  \t ", "a" + " " * 17 + "b",
    " " * 33, "\t" * 9, "\n" * 7 + "x", "x\n\n\n", "x \n\n y", "\r", "\r\r\n\n", "\v\f", "a\vb\fc",
    "a\u00a0b", "\u00a0\u00a0x", "\u2003x\u2002 y", "\u3000全角", "\u2028line\u2029para", "\u0085x",
    "end. \n\nNext", "tab\tand\ttab", " a  b   c    d", "   \n   ", "x   ", "  x  \n  y  ",
    "word " * 8, "\u180ex", "\u200b\u200c\u200d", "a\u200bb\u00a0c\u2003d", "1  2   3", "  1", "\n1",
    " '", " 's", "\n's", "  !", "\n!", "!\n", "! \n", "!\n\n\n", "?!\r\n",
]

WORDS = [
    "Hello", " Hello", "Hello world", "Hello, world!", "The quick brown fox jumps over the lazy dog.",
    "don't can't I'll we've they're he'd I'm", "DON'T I'LL", "It's 'quoted' text's end'",
    "y'all'd've", "rock'n'roll", "'tis 'twas", "o'clock O'Brien L'été", "he’s we’ll I’m don’t",
    "'S 'T 'RE 'VE 'M 'LL 'D", "a's's", "I'Ve You'Re", "x'ſ", "''s", "naïve café résumé",
    "nai\u0308ve cafe\u0301", "ß Æ œ ñ ø", "İstanbul ıI", "ǅ ǈ ʰ ª º", "antidisestablishmentarianism",
    "camelCaseHTTPServer snake_case_name", "kebab-case-name SCREAMING_SNAKE", "A", "a", "I", " a",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "The. quick, brown; fox: (jumps) [over] {the} \"lazy\" dog?!", "Mr. Smith went to Washington, D.C.",
    "e.g. i.e. etc.", "word.Word,word;Word", "mid·dot", "a_b_c __init__ _x", "ThisIsALongIdentifier123",
    "sesquipedalian floccinaucinihilipilification", "Once upon a time, in a village by the sea,",
    "supercalifragilisticexpialidocious!", "re-entry co-op", "α-helix", "x̂ ȳ z̃",
]

NUMBERS = [
    "1", "12", "123", "1234567890", "3.14159", "1,000,000.50", "2024-12-31T23:59:59Z",
    "0x1F 0b101 1e-9", "1234", "12345", "123456", " 1234", "a1b22c333d4444", "v1.2.3-rc4+build5",
    "٣٤٥ ۱۲۳ १२३ 一二三", "½ ⅓ ① Ⅳ", "10²⁰", "１２３", "$1,234.56 €99 £5 ¥100", "50% off 3×4=12", "+1-800-555-0199",
    "1st 2nd 3rd 4th", "IPv4 192.168.0.1", "0000000000000000", "99999999999999999999", "7 8 9", "ⅷ ⅻ ㉑",
]

CODE = [
    "x=1;y=2", "def f(x):\n    return x**2  # square\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * c; }", "#include <vector>\nint main(){return 0;}",
    "SELECT * FROM t WHERE a='b' AND c<>3;", "https://example.com/a?b=c&d=%20e#f", "user@example.com",
    "{\"a\": [1, 2, {\"b\": null}]}", "<html><body class=\"x\">&amp;</body></html>", "-----======*****",
    "if (a&&b||!c) {\n\treturn a?b:c;\n}", "std::unique_ptr<int> p = std::make_unique<int>(3);",
    "fn main() -> Result<(), Box<dyn Error>> {\n    Ok(())\n}", "@decorator\nclass A(B):\n    pass\n",
    "print(f\"{x!r:>10}\")", "\\n \\t \\u00e9 \\\\", "C:\\Users\\name\\file.txt", "/usr/local/bin/../lib",
    "$ echo \"$HOME\" | sed 's/a/b/g' > /dev/null 2>&1", "a = b ? c : d; // note", "/* block\n * comment */",
    "<!-- html --> <br/>", "```python\nprint('hi')\n```", "| a | b |\n|---|---|\n| 1 | 2 |",
    "# Title\n\n- item\n  - nested\n1. one\n", "key: value\nlist:\n  - a\n  - b\n", "[section]\nname=value\n",
    "λ x → x + 1", "a->b a=>b a<-b a<=b a>=b a!=b a==b a===b", "i++ + ++j", "...", "…", "?????", "!!!###$$$",
    "~`!@#$%^&*()_+-={}[]|:;\"'<>,.?/", "\"\"\"doc\"\"\"", "''''", "(((())))", "\t\treturn 0;\n\t}\n}",
    "import numpy as np\n\ndef softmax(x):\n    e = np.exp(x - x.max())\n    return e / e.sum()\n",
]

SCRIPTS = [
    "你好,世界", "你好,世界!今天天气怎么样?", "今天天气真好，我们去公园吧。", "中文English混排123测试", "繁體字與簡体字", "日本語のテキスト", "カタカナとひらがな",
    "ｶﾀｶﾅ", "東京2024年", "한국어 텍스트입니다", "안녕하세요, 세계!", "ᄒ\u1161\u11ab", "Привет, мир", "Съешь ещё этих мягких булок", "Γειά σου Κόσμε",
    "مرحبا بالعالم", "اَلْعَرَبِيَّةُ", "שלום עולם", "שָׁלוֹם", "नमस्ते दुनिया", "தமிழ் மொழி", "ไทยภาษา", "ភាសាខ្មែរ", "ქართული ენა", "Հայերեն",
    "አማርኛ", "বাংলা ভাষা", "Tiếng Việt", "Żółć gęślą jaźń", "Türkçe İğüşöç", "𐍈𐌰𐌹", "ⴰⵎⴰⵣⵉⵖ", "«guillemets» „quotes“ 「括弧」",
]

SYMBOLS = [
    "🙂", "👨‍👩‍👧‍👦 family", "🇫🇷🇯🇵 flags 👍🏽", "🙂🙂🙂", "a🙂b", " 🙂 ", "☀️ ☂ ♥", "👩🏿‍🚀", "1️⃣ #️⃣", "…—–“quoted”‘x’", "∑∫√∞≠≤ α²+β³",
    "𝕏𠀀", "\u0000nul", "\u007f\u0080\ufeff", "\ufeffBOM", "\u0001\u0002\u001f", "\ue000\uf8ff", "\U0010ffff", "\ufffd", "\u202eRTL\u202c",
    "a\u0301\u0302\u0303", "\u0300", "z̷̢̛a̶l̵g̸o", "①②③", "→←↑↓⇒", "▁x▁", "█▓▒░", "♔♕♖", "©®™", "°C ‰ №", "\u00ad soft", "Ġ Ċ ĉ",
]

SPECIAL = [
    "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>", "text<|endoftext|>more", "<bos>x<eos>",
    "<start_of_turn>user\nHi<end_of_turn>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<|im_start",
    "<0x0A>", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_start|><|im_start|>system", "<|im_end|>\n\n<|im_start|>",
    "a <|endoftext|> b", "<|IM_END|>", "<|im_end |>", "<repo_name>x<file_sep>y", "<|begin_of_text|>Hi<|eot_id|>",
    "<|start_header_id|>user<|end_header_id|>\n\nHi", "<s>x</s>", "[INST] x [/INST]", "<think>\nx\n</think>", "<|im_start|>\u00a0<|im_end|>",
]

STRINGS = list(dict.fromkeys(
    WHITESPACE + WORDS + NUMBERS + CODE + SCRIPTS + SYMBOLS + SPECIAL))

# The strings of the vocabularies that are committed as subsets: what tells pre-tokenizers apart.
SUBSET_STRINGS = list(dict.fromkeys(
    WHITESPACE[2:17] + WHITESPACE[20:24] + WHITESPACE[26:28] + WHITESPACE[30:32] + WHITESPACE[-12:]
    + WORDS[5:10] + WORDS[12:18] + WORDS[32:35] + NUMBERS[3:5] + NUMBERS[8:15] + NUMBERS[16:17]
    + CODE[1:5] + CODE[10:12] + CODE[34:36] + SCRIPTS[1:2] + SCRIPTS[3:4] + SCRIPTS[8:9] + SCRIPTS[12:13]
    + SCRIPTS[19:21] + SYMBOLS[1:3] + SYMBOLS[9:10] + SYMBOLS[13:14] + SPECIAL[:3] + SPECIAL[16:18]))
