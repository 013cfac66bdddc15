/* Random orders: the positions of random words, sorted by the words. */

#include <stdint.h>

enum { DIGIT = 11, DIGITS = 1 << DIGIT }; /* bits, and values, of a digit: three are a word */

/* A pass of a radix sort: pairs (word, position) by one digit of the word, which `shift` brings to
   the bottom; those with equal digits stay in the order they came in. */
static void sort_by_digit(int64_t length, int shift, const uint64_t *pairs, uint64_t *sorted) {
    int64_t next[DIGITS + 1] = {0};
    for (int64_t i = 0; i < length; i++) next[(pairs[i] >> shift & (DIGITS - 1)) + 1]++;
    for (int digit = 0; digit < DIGITS; digit++) next[digit + 1] += next[digit];
    for (int64_t i = 0; i < length; i++)
        sorted[next[pairs[i] >> shift & (DIGITS - 1)]++] = pairs[i];
}

/* noise.permutations: words and orders [S, length], room for one of the S. */
void vaebench_orders(int64_t S, int64_t length, const uint32_t *words, uint64_t *room,
                     uint64_t *orders) {
    for (int64_t s = 0; s < S; s++, words += length, orders += length) {
        for (int64_t i = 0; i < length; i++) room[i] = (uint64_t)words[i] << 32 | (uint64_t)i;
        sort_by_digit(length, 32, room, orders);
        sort_by_digit(length, 32 + DIGIT, orders, room);
        sort_by_digit(length, 32 + 2 * DIGIT, room, orders);
        for (int64_t i = 0; i < length; i++) orders[i] &= 0xFFFFFFFFu;
    }
}
