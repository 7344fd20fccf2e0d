/* A bit-parallel simulator of netlists: one fixed program, driven by tables, compiled once for a
 * number of lanes and never per netlist. A net's value is W words of 64 lanes; lane i is bit i % 64
 * of word i / 64. Names begin with nl_: the C library has functions such as step of its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
typedef uint64_t u64; typedef int64_t i64; typedef int32_t i32; typedef uint8_t u8;
#ifndef W
#define W 4
#endif
#define LANES (64 * W)
#if W == 1
typedef u64 vec;
#define ANY(x) ((x) != 0)
#define WORD(x, i) (x)
#define SPLAT(b) ((b) ? ~(u64)0 : (u64)0)
#else
typedef u64 vec __attribute__((vector_size(8 * W), aligned(8 * W)));
static inline int ANY(vec x) { u64 r = 0; for (int i = 0; i < W; i++) r |= x[i]; return r != 0; }
#define WORD(x, i) ((x)[i])
static inline vec SPLAT(int b) {
  vec x;
  for (int i = 0; i < W; i++) x[i] = b ? ~(u64)0 : 0;
  return x;
}
#endif

enum { TABLE, READ, MULTIPLY };

typedef struct {           /* one combinational element; `in` and `out` are places in `pins` */
  i32 kind, n_in, in, n_out, out, aux, flags, delay;
  u64 table;
} element;

typedef struct { i32 d, q, enable, reset, value, async_, initial; } reg;
typedef struct { i32 memory, n_address, address, n_data, data, enables; } port;
typedef struct { i64 words, start, width, shared; } mem;

typedef struct { i32 net; vec value; } event;
typedef struct { event *e; i64 n, room; } slot;

typedef struct {
  i64 nets, n_elements, n_regs, n_writes, n_mems, max_delay;
  const element *elements; const i32 *pins; const reg *regs; const port *writes; const mem *mems;
  const u64 *contents;      /* first contents, all memories one after the other */
  const i32 *fan_start, *fan;   /* elements that read a net */
  const i32 *read_start, *reads; /* elements that read a memory */
  const u8 *classes;
  vec *v, *next, *last; u8 *dirty; i32 *active; u64 **state; slot *wheel;
  u64 *toggles, *ones; u64 *totals; i64 n_classes; vec mask; i64 glitch; i64 events;
} sim;

static inline vec mux(vec s, vec a, vec b) { return a ^ ((a ^ b) & s); }

/* a truth table of k inputs: every function of the two lowest, then a tree of choices */
static inline vec look(u64 t, int k, const vec *v, const i32 *in) {
  if (k == 0) return SPLAT(t & 1);
  vec x = v[in[0]];
  if (k == 1) return ((t & 1) ? ~x : SPLAT(0)) | ((t & 2) ? x : SPLAT(0));
  vec y = v[in[1]], f[16];
  vec nx = ~x, ny = ~y;
  f[0] = x ^ x; f[1] = nx & ny; f[2] = x & ny; f[3] = ny; f[4] = nx & y; f[5] = nx; f[6] = x ^ y;
  f[7] = nx | ny; f[8] = x & y; f[9] = ~f[6]; f[10] = x; f[11] = x | ny; f[12] = y; f[13] = nx | y;
  f[14] = x | y; f[15] = ~f[0];
  if (k == 2) return f[t & 15];
  vec z = v[in[2]];
  if (k == 3) return mux(z, f[t & 15], f[t >> 4 & 15]);
  vec a[8]; int n = 1 << (k - 3);
  for (int i = 0; i < n; i++) a[i] = mux(z, f[t >> (8 * i) & 15], f[t >> (8 * i + 4) & 15]);
  for (int j = 3; j < k; j++) {
    vec s = v[in[j]]; n >>= 1;
    for (int i = 0; i < n; i++) a[i] = mux(s, a[2 * i], a[2 * i + 1]);
  }
  return a[0];
}

static void transpose(u64 a[64]) {  /* a 64 x 64 bit matrix in place */
  u64 m = 0x00000000FFFFFFFFull;
  for (int j = 32; j; j >>= 1, m ^= m << j)
    for (int k = 0; k < 64; k = (k + j + 1) & ~j) {
      u64 t = ((a[k] >> j) ^ a[k | j]) & m;
      a[k] ^= t << j; a[k | j] ^= t;
    }
}

static void gather(const vec *v, const i32 *nets, int n, int w, u64 out[64]) {
  for (int i = 0; i < 64; i++) out[i] = i < n ? WORD(v[nets[i]], w) : 0;
  transpose(out);
}

static inline u64 extend(u64 x, int n, int is_signed) {
  return is_signed && n < 64 && (x >> (n - 1) & 1) ? x | (~(u64)0 << n) : x;
}

static void words_of(const sim *s, const element *e, vec *out) {
  const i32 *in = s->pins + e->in;
  u64 a[64], b[64];
  for (int w = 0; w < W; w++) {
    gather(s->v, in, e->kind == READ ? e->n_in : e->aux, w, a);
    if (e->kind == READ) {
      const mem *m = s->mems + e->aux;
      const u64 *c = s->state[e->aux];
      for (int i = 0; i < 64; i++) {
        u64 at = a[i];
        u64 base = m->shared ? 0 : (u64)(w * 64 + i) * m->words;
        a[i] = at < (u64)m->words ? c[base + at] : 0;
      }
    } else {
      int na = e->aux, nb = e->n_in - na;
      gather(s->v, in + na, nb, w, b);
      for (int i = 0; i < 64; i++)
        a[i] = extend(a[i], na, e->flags & 1) * extend(b[i], nb, e->flags & 2);
    }
    transpose(a);
    for (int i = 0; i < e->n_out; i++) {
#if W == 1
      out[i] = a[i];
#else
      out[i][w] = a[i];
#endif
    }
  }
}

static inline u64 count(vec x) {
  u64 n = 0;
  for (int i = 0; i < W; i++) n += __builtin_popcountll(WORD(x, i));
  return n;
}

static inline void wake(sim *s, i32 net) {
  for (i32 i = s->fan_start[net]; i < s->fan_start[net + 1]; i++) s->dirty[s->fan[i]] = 1;
}

static inline void note(sim *s, i32 net, vec change) {
  if (!s->toggles) return;
  change &= s->mask;
  s->toggles[net] += count(change);
  if (s->totals) {
    u64 *t = s->totals + (i64)s->classes[net] * W;
    for (int i = 0; i < W; i++) t[i] += __builtin_popcountll(WORD(change, i));
  }
}

static inline void set(sim *s, i32 net, vec value) {
  vec change = s->v[net] ^ value;
  if (ANY(change)) { s->v[net] = value; note(s, net, change); wake(s, net); }
}

static void settle_once(sim *s) {
  vec out[64];
  for (i64 i = 0; i < s->n_elements; i++) {
    if (!s->dirty[i]) continue;
    s->dirty[i] = 0;
    const element *e = s->elements + i;
    if (e->kind == TABLE) set(s, s->pins[e->out], look(e->table, e->n_in, s->v, s->pins + e->in));
    else {
      words_of(s, e, out);
      for (int k = 0; k < e->n_out; k++) set(s, s->pins[e->out + k], out[k]);
    }
  }
}

static int post(sim *s, i64 at, i32 net, vec value) {
  if (!ANY(s->last[net] ^ value)) return 0;
  s->last[net] = value;
  slot *p = s->wheel + at;
  if (p->n == p->room) {
    i64 room = p->room ? 2 * p->room : 1024;
    event *e = 0;
    if (posix_memalign((void **)&e, 64, room * sizeof(event))) return -1;
    if (p->n) memcpy(e, p->e, p->n * sizeof(event));
    free(p->e); p->e = e; p->room = room;
  }
  p->e[p->n].net = net; p->e[p->n].value = value; p->n++;
  return 0;
}

/* inertial delays: what an element's inputs make at time t is its output at t + delay, unless they
   made something else in between */
static int settle_timed(sim *s) {
  vec out[64];
  i64 size = s->max_delay + 1, idle = 0, n_active = 0;
  memcpy(s->last, s->v, s->nets * sizeof(vec));
  for (i64 i = 0; i < s->n_elements; i++) if (s->dirty[i]) s->active[n_active++] = (i32)i;
  for (i64 t = 0; idle < size; t++) {
    for (i64 i = 0; i < n_active; i++) {
      const element *e = s->elements + s->active[i];
      s->dirty[s->active[i]] = 0;
      i64 at = (t + e->delay) % size;
      if (e->kind == TABLE) {
        if (post(s, at, s->pins[e->out], look(e->table, e->n_in, s->v, s->pins + e->in))) return -1;
      } else {
        words_of(s, e, out);
        for (int k = 0; k < e->n_out; k++) if (post(s, at, s->pins[e->out + k], out[k])) return -1;
      }
    }
    n_active = 0;
    slot *p = s->wheel + (t + 1) % size;
    idle = p->n ? 0 : idle + 1;
    for (i64 i = 0; i < p->n; i++) {
      i32 net = p->e[i].net;
      vec change = (s->v[net] ^ p->e[i].value) & ~(s->last[net] ^ p->e[i].value);
      if (!ANY(change)) continue;
      s->v[net] ^= change;
      note(s, net, change);
      for (i32 k = s->fan_start[net]; k < s->fan_start[net + 1]; k++)
        if (!s->dirty[s->fan[k]]) { s->dirty[s->fan[k]] = 1; s->active[n_active++] = s->fan[k]; }
    }
    s->events += p->n;
    p->n = 0;
  }
  return 0;
}

static int settle(sim *s) {
  for (int round = 0; round < 64; round++) {
    if (s->glitch) { if (settle_timed(s)) return -1; } else settle_once(s);
    int again = 0;
    for (i64 i = 0; i < s->n_regs; i++) {
      const reg *r = s->regs + i;
      if (!r->async_) continue;
      vec on = s->v[r->reset];
      vec q = mux(on, s->v[r->q], SPLAT(r->value));
      if (ANY(q ^ s->v[r->q])) { set(s, r->q, q); again = 1; }
    }
    if (!again) return 0;
  }
  return -2;
}

static void edge(sim *s) {
  for (i64 i = 0; i < s->n_regs; i++) {
    const reg *r = s->regs + i;
    vec q = r->enable == 1 ? s->v[r->d] : mux(s->v[r->enable], s->v[r->q], s->v[r->d]);
    if (r->reset) q = mux(s->v[r->reset], q, SPLAT(r->value));
    s->next[i] = q;
  }
  u64 at[64], data[64], on[64];
  for (i64 i = 0; i < s->n_writes; i++) {
    const port *p = s->writes + i;
    const mem *m = s->mems + p->memory;
    const i32 *e = s->pins + p->enables;
    vec any = s->v[e[0]];
    for (int k = 1; k < p->n_data; k++) if (e[k] != e[k - 1]) any |= s->v[e[k]];
    if (!ANY(any)) continue;
    for (int w = 0; w < W; w++) {
      if (!WORD(any, w)) continue;
      gather(s->v, s->pins + p->address, p->n_address, w, at);
      gather(s->v, s->pins + p->data, p->n_data, w, data);
      gather(s->v, e, p->n_data, w, on);
      for (int k = 0; k < 64; k++) {
        if (!on[k] || at[k] >= (u64)m->words) continue;
        u64 *c = s->state[p->memory] + (u64)(w * 64 + k) * m->words + at[k];
        *c = (*c & ~on[k]) | (data[k] & on[k]);
      }
    }
    for (i32 k = s->read_start[p->memory]; k < s->read_start[p->memory + 1]; k++)
      s->dirty[s->reads[k]] = 1;
  }
}

/* one step: a clock edge (or none), the inputs that follow it, and all that comes of them */
int nl_step(sim *s, i64 clocked, i64 n_in, const i32 *nets, const u64 *values) {
  if (clocked) {
    edge(s);
    for (i64 i = 0; i < s->n_regs; i++) set(s, s->regs[i].q, s->next[i]);
  }
  for (i64 i = 0; i < n_in; i++) {
    vec x;
    memcpy(&x, values + i * W, sizeof x);
    set(s, nets[i], x);
  }
  int failed = settle(s);
  if (s->ones)
    for (i64 i = 0; i < s->nets; i++) s->ones[i] += count(s->v[i] & s->mask);
  return failed;
}

static void *room(size_t n) {
  void *p = 0;
  n = (n + 63) & ~(size_t)63;
  if (posix_memalign(&p, 64, n ? n : 64)) return 0;
  memset(p, 0, n ? n : 64);
  return p;
}

void nl_reset(sim *s) {
  memset(s->v, 0, s->nets * sizeof(vec));
  s->v[1] = SPLAT(1);
  for (i64 i = 0; i < s->n_regs; i++) s->v[s->regs[i].q] = SPLAT(s->regs[i].initial);
  for (i64 m = 0; m < s->n_mems; m++) {
    i64 copies = s->mems[m].shared ? 1 : LANES;
    for (i64 k = 0; k < copies; k++)
      memcpy(s->state[m] + k * s->mems[m].words, s->contents + s->mems[m].start,
             s->mems[m].words * sizeof(u64));
  }
  memset(s->dirty, 1, s->n_elements);
}

void nl_release(sim *s) {
  if (!s) return;
  free(s->v); free(s->next); free(s->last); free(s->dirty); free(s->active);
  if (s->state) for (i64 m = 0; m < s->n_mems; m++) free(s->state[m]);
  if (s->wheel) for (i64 i = 0; i <= s->max_delay; i++) free(s->wheel[i].e);
  free(s->state); free(s->wheel); free(s);
}

sim *nl_make(const i64 *sizes, const element *elements, const i32 *pins, const reg *regs,
          const port *writes, const mem *mems, const u64 *contents, const i32 *fan_start,
          const i32 *fan, const i32 *read_start, const i32 *reads, const u8 *classes) {
  sim *s = room(sizeof(sim));
  if (!s) return 0;
  s->nets = sizes[0]; s->n_elements = sizes[1]; s->n_regs = sizes[2]; s->n_writes = sizes[3];
  s->n_mems = sizes[4]; s->max_delay = sizes[5]; s->n_classes = sizes[6];
  s->elements = elements; s->pins = pins; s->regs = regs; s->writes = writes; s->mems = mems;
  s->contents = contents; s->fan_start = fan_start; s->fan = fan; s->read_start = read_start;
  s->reads = reads; s->classes = classes;
  s->v = room(s->nets * sizeof(vec)); s->last = room(s->nets * sizeof(vec));
  s->next = room(s->n_regs * sizeof(vec)); s->dirty = room(s->n_elements);
  s->active = room(s->n_elements * sizeof(i32)); s->state = room(s->n_mems * sizeof(u64 *));
  s->wheel = room((s->max_delay + 1) * sizeof(slot));
  if (!s->v || !s->last || !s->next || !s->dirty || !s->active || !s->state || !s->wheel) {
    nl_release(s); return 0;
  }
  for (i64 m = 0; m < s->n_mems; m++) {
    s->state[m] = room((s->mems[m].shared ? 1 : LANES) * s->mems[m].words * sizeof(u64));
    if (!s->state[m]) { nl_release(s); return 0; }
  }
  s->mask = SPLAT(1);
  nl_reset(s);
  return s;
}

/* what to count: toggles and time at one by net, totals by class and word; null for nothing */
void nl_watch(sim *s, u64 *toggles, u64 *ones, u64 *totals, const u64 *mask, i64 glitch) {
  s->toggles = toggles; s->ones = ones; s->totals = totals; s->glitch = glitch;
  if (mask) memcpy(&s->mask, mask, sizeof s->mask);
}

void nl_peek(const sim *s, i64 n, const i32 *nets, u64 *values) {
  for (i64 i = 0; i < n; i++) memcpy(values + i * W, &s->v[nets[i]], sizeof(vec));
}

/* `steps` steps of plain inputs and outputs: values as [step][net][word] */
int nl_run(sim *s, i64 steps, i64 clocked, i64 n_in, const i32 *in, const u64 *inputs, i64 n_out,
        const i32 *out, u64 *outputs, const u64 *masks, i64 stride) {
  u64 *totals = s->totals;
  for (i64 t = 0; t < steps; t++) {
    if (masks) memcpy(&s->mask, masks + t * W, sizeof s->mask);
    if (totals) s->totals = totals + t * stride;
    int failed = nl_step(s, clocked, n_in, in, inputs + t * n_in * W);
    if (failed) { s->totals = totals; return failed; }
    if (outputs) nl_peek(s, n_out, out, outputs + t * n_out * W);
  }
  s->totals = totals;
  return 0;
}

/* valid/ready: lane k sends beats[k][0..n_beats[k]) and takes what comes. A beat is `n_in` bits,
   packed in words of 64. `starts` gets the cycle in which each beat was taken, `ends` the one in
   which each came out. Returns the cycles run, or less than 0: -1 memory, -2 a loop through an
   asynchronous reset, -3 not done within `limit`. */
i64 nl_stream(sim *s, i64 limit, const i32 *handshake, i64 n_in, const i32 *in, const u64 *beats,
           const i64 *n_beats, i64 most, i64 n_out, const i32 *out, u64 *taken,
           const i64 *n_wanted, i64 most_wanted, i32 *starts, i32 *ends, i64 stride,
           i64 bucket) {
  i32 in_valid = handshake[0], in_ready = handshake[1], out_valid = handshake[2],
      out_ready = handshake[3];
  i64 wide = (n_in + 63) / 64, wide_out = (n_out + 63) / 64, sent[LANES], got[LANES];
  u64 *totals = s->totals;
  memset(sent, 0, sizeof sent); memset(got, 0, sizeof got);
  vec valid = SPLAT(0), all = SPLAT(1), *data = room(n_in * sizeof(vec));
  if (!data) return -1;
  u64 buffer[64];
  int fresh = 1;
  for (i64 t = 0; t < limit; t++) {
    /* lanes whose beat was taken at the last edge show the next one */
    vec moved = t ? valid & s->v[in_ready] : all, came = t ? s->v[out_valid] : SPLAT(0);
    int open_ = 0;
    for (int w = 0; w < W; w++) {
      u64 change = WORD(moved, w), arrived = WORD(came, w);
      for (u64 rest = arrived; rest; rest &= rest - 1) {
        int k = w * 64 + __builtin_ctzll(rest);
        if (got[k] >= n_wanted[k]) continue;
        u64 *to = taken + (k * most_wanted + got[k]) * wide_out;
        for (i64 i = 0; i < n_out; i++)
          to[i / 64] |= (WORD(s->v[out[i]], w) >> (k % 64) & 1) << (i % 64);
        ends[k * most_wanted + got[k]] = (i32)(t - 1);
        got[k]++;
      }
      if (t)
        for (u64 rest = change; rest; rest &= rest - 1) {
          int k = w * 64 + __builtin_ctzll(rest);
          starts[k * most + sent[k]] = (i32)(t - 1);
          sent[k]++;
        }
      if (change) {
        u64 on = 0;
        for (int k = 0; k < 64; k++) on |= (u64)(sent[w * 64 + k] < n_beats[w * 64 + k]) << k;
#if W == 1
        valid = on;
#else
        valid[w] = on;
#endif
        for (i64 part = 0; part < wide; part++) {
          int n = (int)(n_in - part * 64 < 64 ? n_in - part * 64 : 64);
          for (int k = 0; k < 64; k++) {
            i64 lane = w * 64 + k;
            buffer[k] = sent[lane] < n_beats[lane] ? beats[(lane * most + sent[lane]) * wide + part]
                                                   : 0;
          }
          transpose(buffer);
          for (int i = 0; i < n; i++) {
#if W == 1
            data[part * 64 + i] = buffer[i];
#else
            data[part * 64 + i][w] = buffer[i];
#endif
          }
        }
        fresh = 1;
      }
      for (int k = w * 64; k < w * 64 + 64; k++) open_ |= got[k] < n_wanted[k];
    }
    if (!open_) { free(data); s->totals = totals; return t; }
    if (totals) s->totals = totals + t / bucket * stride;
    if (t) {
      edge(s);
      for (i64 i = 0; i < s->n_regs; i++) set(s, s->regs[i].q, s->next[i]);
    }
    set(s, in_valid, valid);
    set(s, out_ready, all);
    if (fresh) for (i64 i = 0; i < n_in; i++) set(s, in[i], data[i]);
    fresh = 0;
    int failed = settle(s);
    if (failed) { free(data); s->totals = totals; return failed; }
    if (s->ones) for (i64 i = 0; i < s->nets; i++) s->ones[i] += count(s->v[i] & s->mask);
  }
  free(data);
  s->totals = totals;
  return -3;
}

