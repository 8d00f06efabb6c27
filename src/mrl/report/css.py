"""The report's style sheet: one column on a phone, two on a desk, light, dark and on paper."""

from __future__ import annotations

from mrl.report.look import BASELINE, COLOURS, FAINT, GRID, INK, PAPER

# What a figure's colours become on the page, so that figures follow its theme: (colour, variable, light, dark).
THEME = (
    (INK, "--ink", INK, "#eef1f4"),
    (FAINT, "--faint", FAINT, "#a3adb8"),
    (GRID, "--grid", GRID, "#323b45"),
    (PAPER, "--card", "#ffffff", "#1b222a"),
    (BASELINE, "--fixed", BASELINE, "#dfe3e7"),
    *zip(
        COLOURS,
        [f"--series-{number}" for number in range(len(COLOURS))],
        COLOURS,
        ("#1a80c4", "#e0661a", "#00a87b", "#d98bb8", "#f0b030", "#7fccf7"),
        strict=True,
    ),
)


def sheet() -> str:
    """The whole style sheet."""
    light = "".join(f"{name}:{value};" for _, name, value, _ in THEME)
    dark = "".join(f"{name}:{value};" for _, name, _, value in THEME)
    return (
        f":root{{color-scheme:light dark;--back:#f6f5f1;--mark:#e4edf3;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{--back:#12171c;--mark:#24303a;{dark}}}}}\n{RULES}"
    )


def themed(text: str) -> str:
    """`text` with every colour of a figure replaced by its variable."""
    for value, name, _, _ in THEME:
        text = text.replace(value, f"var({name},{value})")
    return text


RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 ui-sans-serif,system-ui,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:1180px;margin:0 auto;padding:clamp(1.5rem,5vw,4rem) clamp(1rem,4vw,2.5rem) 3rem}
.eyebrow{margin:0 0 .7rem;font-size:.82rem;letter-spacing:.07em;text-transform:uppercase;color:var(--faint)}
h1{margin:0;max-width:25em;font:600 clamp(1.65rem,4.2vw,2.7rem)/1.18 "Iowan Old Style","Palatino Linotype",Palatino,
Charter,Georgia,serif;letter-spacing:-.012em;text-wrap:balance;overflow-wrap:anywhere}
.facts{margin:.9rem 0 0;color:var(--faint);overflow-wrap:anywhere}
h2{margin:3.2rem 0 1rem;font:600 1.35rem/1.3 "Iowan Old Style","Palatino Linotype",Palatino,Charter,Georgia,serif}
.note{max-width:62em;margin:.9rem 0 0;color:var(--faint);font-size:.88rem}
.tiles,.figures{display:grid;gap:1.1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));
margin-top:2.2rem}
.figures{grid-template-columns:repeat(auto-fit,minmax(min(100%,29rem),1fr));margin-top:0}
.tile,figure{margin:0;background:var(--card);border:1px solid var(--grid);border-radius:12px;padding:1.15rem 1.25rem}
.tile h3{margin:0;font-size:.92rem;font-weight:600;color:var(--faint);overflow-wrap:anywhere}
.tile .big{margin:.3rem 0 0;font-size:2.1rem;font-weight:680;line-height:1.2;letter-spacing:-.02em}
.tile .big small{font-size:1rem;font-weight:400;letter-spacing:0;color:var(--faint)}
.bar{display:block;height:9px;margin:.65rem 0 .7rem;border-radius:5px;background:var(--mark);overflow:hidden;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
.bar span{display:block;height:100%;border-radius:5px 0 0 5px;background:var(--series-0)}
.tile p{margin:0}
.tile .said{margin-top:.45rem;color:var(--faint);font-size:.88rem}
.found{max-width:62em;margin:0;padding-left:1.2rem}
.found li{margin:.35rem 0;overflow-wrap:anywhere}
figure svg{display:block;width:100%;height:auto}
figure svg text{font-family:ui-sans-serif,system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif!important}
figcaption{margin-top:.6rem;color:var(--faint);font-size:.88rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--grid);border-radius:12px}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th,td{padding:.42rem .8rem;text-align:right;vertical-align:top;white-space:nowrap;font-weight:400}
thead th{padding:.8rem .8rem .6rem;color:var(--faint);font-size:.91em;font-weight:600;line-height:1.3;max-width:8rem;
white-space:normal;vertical-align:bottom}
tbody{border-top:1px solid var(--grid)}
tbody tr:first-child>*{padding-top:.65rem}
tbody tr:last-child>*{padding-bottom:.65rem}
.dim{position:sticky;left:0;background:var(--card);font-size:1.2em;font-weight:680;line-height:1.35}
thead .dim{font-size:.91em}
.run{max-width:16rem;text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:6.5rem}
.plan{overflow-wrap:break-word}
.stage{display:inline-block;max-width:100%}
.plans .run{max-width:33rem;min-width:15rem;line-height:1.45}
.group{padding-top:1rem;text-align:left;white-space:normal;color:var(--faint);font-size:.91em;font-weight:600}
.picked>*{background:var(--mark)}
.promise{max-width:52em;margin:0;font-size:1.08rem}
.how{max-width:62em;margin:1.1rem 0 .35rem}
pre{margin:0;max-width:100%;overflow-x:auto;padding:.7rem 1rem;background:var(--card);border:1px solid var(--grid);
border-radius:12px;font:.88rem/1.5 ui-monospace,"Cascadia Mono",Menlo,Consolas,monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
.dot{display:inline-block;width:.68em;height:.68em;margin-right:.5em;border:2px solid;border-radius:50%;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
td b{font-weight:720}
td .value{display:block}
td small,.run small{display:block;color:var(--faint);font-size:.85em;line-height:1.3}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
footer{margin-top:3rem;padding-top:1.1rem;border-top:1px solid var(--grid);color:var(--faint);font-size:.86rem}
h2+footer{margin-top:0;padding-top:0;border-top:0}
footer dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.3rem 1.2rem;max-width:62em;margin:0}
footer dt{font-weight:600}
footer dd{margin:0}
@media(max-width:32rem){footer dl{display:block}footer dd{margin:0 0 .6rem}.run{min-width:5.5rem}
th,td{padding-left:.55rem;padding-right:.55rem}figure{padding:.9rem .7rem}}
@media print{body{background:#fff;font-size:10pt}main{max-width:none;padding:0}.tile,figure,tbody{break-inside:avoid}
.figures{grid-template-columns:1fr 1fr}.tiles{grid-template-columns:repeat(3,1fr)}.scroll{overflow:visible;border:0}
table{font-size:7.5pt}th,td{padding:.25rem .35rem}h2{break-after:avoid}thead{display:table-header-group}}
"""
