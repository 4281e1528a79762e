/* export_helpers.c - the Python functions that edits call, each written only where one does (see
 * export_parts.h).
 *
 * Tested in tests/tui/test_export.py. */
#include "export/export_parts.h"

static const char gaussian_text[] =
    "def gaussian(shape, key, layer, sigma, seed):\n"
    "    \"\"\"The same numbers as borescope's: splitmix64 of seed, hook and place, through Box-Muller.\"\"\"\n"
    "    def mix(n):\n"
    "        n = n + np.uint64(0x9E3779B97F4A7C15)\n"
    "        n = (n ^ n >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)\n"
    "        n = (n ^ n >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)\n"
    "        return n ^ n >> np.uint64(31)\n"
    "\n"
    "    place = np.ogrid[tuple(slice(n) for n in (1,) * (3 - len(shape)) + tuple(shape))]\n"
    "    with np.errstate(over=\"ignore\"):\n"
    "        at = mix(np.full((1, 1, 1), seed % 2**32, np.uint64))\n"
    "        for byte in key.encode():\n"
    "            at = mix(at ^ np.uint64(byte))\n"
    "        at = mix(at ^ np.uint64(layer % 2**32))\n"
    "        for axis in place[:2]:\n"
    "            at = mix(at ^ axis.astype(np.uint64))\n"
    "        first = mix(at ^ place[2].astype(np.uint64))\n"
    "        second = mix(first)\n"
    "    u, v = ((n >> np.uint64(11)).astype(float) for n in (first, second))\n"
    "    normal = np.sqrt(-2 * np.log((u + 0.5) * 2.0**-53)) * np.cos(2 * np.pi * v * 2.0**-53)\n"
    "    return sigma * torch.tensor(normal, dtype=torch.float32).reshape(shape)\n\n\n";

static const char noise_text[] =
    "def noise(x, name, sigma, seed):\n"
    "    _, layer, key = name.split(\".\", 2) if name.startswith(\"blocks.\") else (None, -1, name)\n"
    "    return gaussian(x.shape[1:], key, int(layer), sigma, seed).expand_as(x)\n\n\n";

static const char weight_noise_text[] =
    "def weight_noise(w, name, sigma, seed):\n    return gaussian(w.shape, name, 0, sigma, seed)\n\n\n";

static const char mean_text[] =
    "def ref_mean(ref, name, pos=None):\n"
    "    \"\"\"The mean over a reference set: of all positions, of each prompt's position pos, or position by position (\"same\").\"\"\"\n"
    "    values = [prompt[name].double() for prompt in refs[ref]]\n"
    "    if pos is None:\n"
    "        return torch.cat(values, 1).mean(1, keepdim=True).float()\n"
    "    if pos != \"same\":\n"
    "        return torch.stack([v[:, pos] for v in values if -v.shape[1] <= pos < v.shape[1]]).mean(0)[:, None].float()\n"
    "    attention = name.endswith((\"hook_attn_scores\", \"hook_pattern\"))\n"
    "    axis, longest = (2, 3) if attention else (1, 1), max(values, key=lambda v: v.shape[2 if attention else 1])\n"
    "    sums, counts = torch.zeros_like(longest), torch.zeros(longest.shape[axis[0]])\n"
    "    for v in values:\n"
    "        counts[:v.shape[axis[0]]] += 1\n"
    "        sums[tuple(slice(n) for n in v.shape)] += v\n"
    "    return (sums / counts.reshape([-1 if a == axis[0] else 1 for a in range(sums.ndim)])).float()\n\n\n";

static const char rows_text[] =
    "def rows(path, name, positions):\n"
    "    \"\"\"One row for each position: of a tensor, or the tensors name.0, name.1, ...\"\"\"\n"
    "    with safe_open(path, \"pt\") as f:\n"
    "        whole = f.get_tensor(name) if name in f.keys() else None\n"
    "        return torch.stack([f.get_tensor(f\"{name}.{p}\") if whole is None else whole[p] for p in positions]).float()\n\n\n";

static const char mask_text[] =
    "def parameter(path, name, default):\n"
    "    with safe_open(path, \"pt\") as f:\n"
    "        return f.get_tensor(name).float() if name in f.keys() else default\n\n\n"
    "def mask(path, name, function):\n"
    "    return function(parameter(path, name + \".param\", torch.tensor(float(\"inf\") if function is torch.sigmoid else 1.0)))\n\n\n"
    "def mask_offset(path, name, function):\n"
    "    return parameter(path, name + \".offset\", torch.tensor(0.0)) * (1 - mask(path, name, function))\n\n\n";

static const char whiten_text[] =
    "def whiten(x, path, name, back=False):\n"
    "    \"\"\"scale * rotate(x + offset), or back.\"\"\"\n"
    "    with safe_open(path, \"pt\") as f:\n"
    "        w = {key[len(name) + 1:]: f.get_tensor(key).float() for key in f.keys() if key.startswith(name + \".\")}\n"
    "    width = next(value.shape[0] if key.endswith(\"weight\") else value.numel() for key, value in w.items())\n"
    "    y = x.reshape(*x.shape[:2], -1, width)\n"
    "    offset, scale = w.get(\"offset\", torch.zeros(width)).flatten(), w.get(\"scale\", torch.ones(width))\n"
    "    rotate = w.get(\"rotate_inv.weight\" if back else \"rotate.weight\", torch.eye(width))\n"
    "    y = (y * (1 / scale).clamp(max=1e6)) @ rotate.T - offset if back else (y + offset) @ rotate.T * scale\n"
    "    return y.reshape(x.shape)\n\n\n"
    "def unwhiten(x, path, name):\n    return whiten(x, path, name, back=True)\n\n\n";

void export_helpers(struct exporter *x, const char *unembedding)
{
    if (x->helpers & HELP_UNIT)
        bytes_add_string(x->out, "def unit(d):\n    return d / d.double().norm().float()\n\n\n");
    if (x->helpers & HELP_DIRECTION)
        bytes_addf(x->out,
                   "def direction(a, b):\n"
                   "    \"\"\"From token b to token a in the unembedding, length 1.\"\"\"\n"
                   "    d = (%s).detach()\n"
                   "    return (d.double() / d.double().norm()).float()\n\n\n",
                   unembedding);
    if (x->helpers & HELP_LOAD)
        bytes_add_string(x->out, "def load(path, name):\n    with safe_open(path, \"pt\") as f:\n"
                                 "        return f.get_tensor(name).float()\n\n\n");
    if (x->helpers & HELP_ROWS)
        bytes_add_string(x->out, rows_text);
    if (x->helpers & HELP_MASK)
        bytes_add_string(x->out, mask_text);
    if (x->helpers & HELP_WHITEN)
        bytes_add_string(x->out, whiten_text);
    if (x->helpers & HELP_MEAN)
        bytes_add_string(x->out, mean_text);
    if (x->helpers & (HELP_NOISE | HELP_WEIGHT_NOISE))
        bytes_add_string(x->out, gaussian_text);
    if (x->helpers & HELP_NOISE)
        bytes_add_string(x->out, noise_text);
    if (x->helpers & HELP_WEIGHT_NOISE)
        bytes_add_string(x->out, weight_noise_text);
}
