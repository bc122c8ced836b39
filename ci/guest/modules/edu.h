/* SPDX-License-Identifier: GPL-2.0-only */
/* QEMU's edu device: it copies between memory and a buffer of its own. */
#ifndef EDU_H
#define EDU_H

#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/types.h>

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	BIT(0)
#define EDU_DMA_TO_RAM	BIT(1)
#define EDU_BUFFER	0x40000

/* Let the device copy size bytes; whether it has finished within ten seconds. May sleep. */
static inline bool edu_copy(void __iomem *regs, u64 from, u64 to, u64 size, u64 cmd)
{
	int tries = 500;

	lo_hi_writeq(from, regs + EDU_DMA_SRC);
	lo_hi_writeq(to, regs + EDU_DMA_DST);
	lo_hi_writeq(size, regs + EDU_DMA_COUNT);
	lo_hi_writeq(cmd, regs + EDU_DMA_CMD);
	while (lo_hi_readq(regs + EDU_DMA_CMD) & EDU_DMA_RUN) {
		if (!tries--)
			return false;
		msleep(20);
	}
	return true;
}

#endif	/* EDU_H */
