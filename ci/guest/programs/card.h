/* SPDX-License-Identifier: GPL-2.0-only */
/* The test cards, as ci/harness/card.py describes them: drawn pixel by pixel. */

#include <stddef.h>
#include <stdint.h>

#define CARD_SQUARE	16
#define CARD_STRIDE	24

/* Levels of red, green and blue, packed as RGB565 or XRGB8888 */
static inline uint32_t card_pack(unsigned int depth, uint32_t red, uint32_t green, uint32_t blue)
{
	if (depth == 16)
		return (red & 31) << 11 | (green & 63) << 5 | (blue & 31);
	return (red & 255) << 16 | (green & 255) << 8 | (blue & 255);
}

static inline uint32_t card_pixel(unsigned int number, unsigned int width, unsigned int height,
				  unsigned int depth, unsigned int x, unsigned int y)
{
	unsigned int square = (x - CARD_SQUARE) / CARD_STRIDE;
	unsigned int bar = x / (width / 8) + number;

	if (!x || !y || x == width - 1 || y == height - 1)
		return card_pack(depth, ~0, ~0, ~0);
	if (y >= height / 2)
		return card_pack(depth, x + number, y + 2 * number, x + y);
	if (y >= CARD_SQUARE && y < 2 * CARD_SQUARE && x >= CARD_SQUARE && square < 8 &&
	    (x - CARD_SQUARE) % CARD_STRIDE < CARD_SQUARE)
		return number >> square & 1 ? card_pack(depth, ~0, ~0, ~0) : 0;
	return card_pack(depth, bar & 4 ? ~0 : 0, bar & 2 ? ~0 : 0, bar & 1 ? ~0 : 0);
}

/* pitch: bytes from one row to the next */
static inline void card_draw(void *memory, unsigned int number, unsigned int width,
			     unsigned int height, unsigned int depth, size_t pitch)
{
	unsigned int x, y;

	for (y = 0; y < height; y++) {
		char *row = (char *)memory + y * pitch;

		for (x = 0; x < width; x++) {
			uint32_t pixel = card_pixel(number, width, height, depth, x, y);

			if (depth == 16)
				((uint16_t *)row)[x] = pixel;
			else
				((uint32_t *)row)[x] = pixel;
		}
	}
}
