// From frames to the network's input, on the GPU: the same numbers as engine/preprocess.py gives on the processor.
//
// Every thread makes one number or pixel on its own: no shared memory, no barriers. So the same source also compiles for
// the processor (tests/kernel_shim.h), where its numbers are tested without a GPU. Keep fused multiply-add off: it rounds
// otherwise than the processor does. After a change run scripts/compile_kernels.sh.

#ifndef POLYPSTREAM_ON_PROCESSOR
#include <cuda_fp16.h>
#endif

// Shrinking: shares of the source pixels that one pixel of the target covers, as cv2.INTER_AREA takes them.
struct Cover {
    double begin, width;  // of the covered span, in source pixels; the width without what reaches over the end
    int first, last;      // source pixels covered in full: first <= pixel < last
};

__device__ static Cover cover_of(int target, double scale, int length) {
    Cover cover;
    cover.begin = target * scale;
    const double end = cover.begin + scale;
    cover.width = fmin(scale, length - cover.begin);
    cover.last = min((int)floor(end), length - 1);
    cover.first = min((int)ceil(cover.begin), cover.last);
    return cover;
}

// Share of a source pixel from first - 1 to last; OpenCV leaves out parts under a thousandth of a pixel.
__device__ static float share_of(const Cover& cover, int pixel, double scale) {
    if (pixel < cover.first) {
        const double part = cover.first - cover.begin;
        return part > 1e-3 ? (float)(part / cover.width) : 0.0f;
    }
    if (pixel >= cover.last) {
        const double part = cover.begin + scale - cover.last;
        return part > 1e-3 ? (float)(fmin(fmin(part, 1.0), cover.width) / cover.width) : 0.0f;
    }
    return (float)(1.0 / cover.width);
}

// Enlarging: the two source pixels around a target pixel's centre, and the share of the second (cv2.INTER_LINEAR).
struct Between {
    int first, second;
    float share;
};

__device__ static Between between_of(int target, double scale, int length) {
    const float at = (float)((target + 0.5) * scale - 0.5);
    const int whole = (int)floorf(at);
    Between between;
    between.first = max(0, min(whole, length - 1));
    between.second = max(0, min(whole + 1, length - 1));
    between.share = between.first == between.second ? 0.0f : at - whole;
    return between;
}

// Crops a box of a BGR frame, resizes it into the inner part of the target, blackens what the mask hides and what lies
// around, and writes normalised RGB planes. One thread for each pixel of the target.
extern "C" __global__ void lay_in(
    const unsigned char* frame, int frame_width,             // BGR, rows of 3 * frame_width bytes
    int box_left, int box_top, int box_width, int box_height,
    const unsigned char* mask,                               // of the frame, 0 is hidden; null: nothing is
    __half* planes, int width, int height,                   // target: 3 planes, R first
    int inner_left, int inner_top, int inner_width, int inner_height,
    float mean, float gain)                                  // value = (colour - mean) * gain
{
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= width * height) return;
    const int x = pixel % width - inner_left, y = pixel / width - inner_top;
    float colours[3] = {0.0f, 0.0f, 0.0f};
    bool seen = x >= 0 && y >= 0 && x < inner_width && y < inner_height;
    // Divided twice as OpenCV does it, so that both round alike.
    const double scale_x = 1.0 / ((double)inner_width / box_width), scale_y = 1.0 / ((double)inner_height / box_height);
    const long long stride = 3LL * frame_width;
    const unsigned char* box = frame + box_top * stride + 3LL * box_left;
    if (seen && mask) {
        const int column = min((int)floor(x * scale_x), box_width - 1);
        const int row = min((int)floor(y * scale_y), box_height - 1);
        seen = mask[(long long)(box_top + row) * frame_width + box_left + column] != 0;
    }
    if (seen && (inner_width < box_width || inner_height < box_height)) {
        const Cover across = cover_of(x, scale_x, box_width), down = cover_of(y, scale_y, box_height);
        for (int row = max(down.first - 1, 0); row <= down.last; ++row) {
            const float row_share = share_of(down, row, scale_y);
            if (row_share == 0.0f) continue;
            float sums[3] = {0.0f, 0.0f, 0.0f};
            for (int column = max(across.first - 1, 0); column <= across.last; ++column) {
                const float share = share_of(across, column, scale_x);
                const unsigned char* source = box + row * stride + 3LL * column;
                for (int channel = 0; channel < 3; ++channel) sums[channel] += source[channel] * share;
            }
            for (int channel = 0; channel < 3; ++channel) colours[channel] += sums[channel] * row_share;
        }
    } else if (seen) {
        const Between across = between_of(x, scale_x, box_width), down = between_of(y, scale_y, box_height);
        const unsigned char* upper = box + down.first * stride;
        const unsigned char* lower = box + down.second * stride;
        for (int channel = 0; channel < 3; ++channel) {
            const float left = upper[3LL * across.first + channel] * (1.0f - across.share)
                + upper[3LL * across.second + channel] * across.share;
            const float right = lower[3LL * across.first + channel] * (1.0f - across.share)
                + lower[3LL * across.second + channel] * across.share;
            colours[channel] = left * (1.0f - down.share) + right * down.share;
        }
    }
    const long long area = (long long)width * height;
    for (int channel = 0; channel < 3; ++channel)
        planes[channel * area + pixel] = __float2half_rn((colours[2 - channel] - mean) * gain);
}

// Copies windows out of a picture of 3 planes into a batch. One thread for each number of the batch.
extern "C" __global__ void gather_windows(
    const __half* planes, int width, int height,
    const int* corners_xy, int count,                        // left and top of each window, inside the picture
    __half* batch, int side_width, int side_height)
{
    const long long number = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long side = (long long)side_width * side_height;
    if (number >= count * 3 * side) return;
    const int window = (int)(number / (3 * side)), channel = (int)(number / side % 3), at = (int)(number % side);
    const int x = corners_xy[2 * window] + at % side_width, y = corners_xy[2 * window + 1] + at / side_width;
    batch[number] = planes[((long long)channel * height + y) * width + x];
}
