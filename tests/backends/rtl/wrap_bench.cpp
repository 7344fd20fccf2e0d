// Drives wrappers, each the top of its own Verilated model: random gaps and stalls, or scripts.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include "verilated.h"
@INCLUDES@
typedef std::vector<unsigned> Words;
static void put(CData& p, const Words& w) { p = w[0]; }
static void put(SData& p, const Words& w) { p = w[0]; }
static void put(IData& p, const Words& w) { p = w[0]; }
static void put(QData& p, const Words& w) { p = w[0] | (QData)w[1] << 32; }
template <std::size_t N> void put(VlWide<N>& p, const Words& w) { for (size_t i = 0; i < N; i++) p[i] = w[i]; }
static Words get(CData p) { return {p}; }
static Words get(SData p) { return {p}; }
static Words get(IData p) { return {p}; }
static Words get(QData p) { return {(unsigned)p, (unsigned)(p >> 32)}; }
template <std::size_t N> Words get(const VlWide<N>& p) { return Words(p.m_storage, p.m_storage + N); }
static unsigned seed = 1;
static bool chance(int percent) { seed = seed * 1664525u + 1013904223u; return (int)(seed >> 8) % 100 < percent; }
struct Word { Words data; int last; };
static std::vector<Word> read_words(const char* name) {
  std::vector<Word> found; FILE* f = fopen(name, "r"); int last, n;
  while (fscanf(f, "%d %d", &last, &n) == 2) { Word w; w.last = last; w.data.resize(n); for (auto& v : w.data) fscanf(f, "%x", &v); found.push_back(w); }
  fclose(f); return found;
}
template <class T, class V, class R, class D, class L, class V2, class R2, class D2, class L2>
void stream(T& t, CData& clk, CData& rst, int active, V& iv, R& ir, D& id, L il, V2& ov, R2& o_r, D2& od, L2 ol,
            const char* in, const char* out, int busy_in, int busy_out, long expected) {
  auto words = read_words(in); FILE* f = fopen(out, "w"); size_t at = 0; long got = 0, clocks = 0, first = -1, quiet = 0;
  rst = active; iv = 0; o_r = 0;
  for (int i = 0; i < 4; i++) { clk = 0; t.eval(); clk = 1; t.eval(); }
  rst = !active;
  bool offering = false; Words held; bool was = false;
  while (got < expected && clocks < 2000000 || quiet < 40) {
    clk = 0;
    if (!offering && at < words.size() && chance(busy_in)) offering = true;
    iv = offering; if (offering) { put(id, words[at].data); if (il) *il = words[at].last; }
    o_r = chance(busy_out);
    t.eval();
    if (was) { if (!ov || get(od) != held) { fprintf(f, "UNSTABLE\n"); } }
    was = ov && !o_r; held = get(od);
    bool took = iv && ir, gave = ov && o_r;
    if (gave) { fprintf(f, "%d", ol ? (int)*ol : 0); for (auto v : get(od)) fprintf(f, " %x", v); fprintf(f, "\n"); got++; if (first < 0) first = clocks; }
    clk = 1; t.eval(); clocks++; if (got >= expected) quiet++;
    if (took) { offering = false; at++; }
  }
  fprintf(f, "CLOCKS %ld\n", clocks); fclose(f);
}
// A script: S hex (send a byte), B hex (a byte whose stop bit is 0), W n (wait), R n (until so many replies)
template <class T> void uart(T& t, double divider, const char* in, const char* out) {
  FILE* f = fopen(out, "w"); FILE* s = fopen(in, "r"); char op; unsigned value;
  t.rst = 1; t.rx = 1; long now = 0; double next = -1; int place = -1; unsigned byte = 0; long replies = 0; bool in_reply = false;
  auto tick = [&]() {
    t.clk = 0; t.eval(); t.clk = 1; t.eval(); now++;
    if (place < 0) { if (!t.tx) { place = 0; next = now + divider * 0.5; } }
    else if (now >= next) {
      if (place == 0) byte = 0; else if (place <= 8) byte |= (unsigned)t.tx << (place - 1);
      else { fprintf(f, t.tx ? "%x\n" : "BAD %x\n", byte); if (byte == 0xc0) { if (in_reply) replies++; in_reply = false; } else in_reply = true; }
      next += divider; place = place == 9 ? -1 : place + 1;
    }
  };
  for (int i = 0; i < 5; i++) tick();
  t.rst = 0; for (int i = 0; i < 20; i++) tick();
  double due = now;
  auto bit = [&](int v) { t.rx = v; due += divider; while (now < due) tick(); };
  while (fscanf(s, " %c %x", &op, &value) == 2) {
    if (op == 'S' || op == 'B') { if (due < now) due = now; bit(0); for (int i = 0; i < 8; i++) bit(value >> i & 1); bit(op == 'S'); t.rx = 1; if (op == 'B') bit(1); }
    if (op == 'G') { t.rx = 0; tick(); t.rx = 1; tick(); }
    if (op == 'W') for (unsigned i = 0; i < value; i++) tick();
    if (op == 'R') for (long i = 0; replies < (long)value && i < 400000; i++) tick();
  }
  fclose(s); fclose(f);
}
template <class T> void spi(T& t, int half, const char* in, const char* out) {
  FILE* f = fopen(out, "w"); FILE* s = fopen(in, "r"); char op; unsigned value;
  auto tick = [&](int n) { for (int i = 0; i < n; i++) { t.clk = 0; t.eval(); t.clk = 1; t.eval(); } };
  t.rst = 1; t.cs_n = 1; t.sck = 0; t.mosi = 0; tick(5); t.rst = 0; tick(5); long replies = 0; bool in_reply = false;
  auto exchange = [&](unsigned byte) {
    if (t.cs_n) { t.cs_n = 0; tick(half + 2); }
    unsigned got = 0;
    for (int i = 7; i >= 0; i--) { t.mosi = byte >> i & 1; tick(half); got = got << 1 | t.miso; t.sck = 1; tick(half); t.sck = 0; }
    fprintf(f, "%x\n", got); if (got == 0xc0) { if (in_reply) replies++; in_reply = false; } else in_reply = true;
  };
  while (fscanf(s, " %c %x", &op, &value) == 2) {
    if (op == 'S') exchange(value);
    if (op == 'C') { tick(half); t.cs_n = 1; tick(half + 4); }
    if (op == 'W') tick(value);
    if (op == 'R') for (long i = 0; replies < (long)value && i < 4000; i++) exchange(0xc0);
  }
  fclose(s); fclose(f);
}
int main(int argc, char** argv) {
  std::string which = argv[1]; VerilatedContext context; seed = atoi(argv[2]);
@CALLS@
  return 0;
}
