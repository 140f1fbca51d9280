// From frames to the network's input, on the GPU: the same numbers as engine/windows/preprocess.py and engine/windows/sliding.py give on
// the processor.
//
// Every thread makes one number or pixel on its own: no shared memory, no barriers. So the same source also compiles for
// the processor (tests/kernel_shim.h), where its numbers are tested without a GPU. Keep fused multiply-add off: it rounds
// otherwise than the processor does. After a change run scripts/compile_kernels.sh.

#ifndef POLYPSTREAM_ON_PROCESSOR
#include <cuda_fp16.h>
#endif

// The two source pixels around a target pixel's centre, and the share of the second (cv2.INTER_LINEAR).
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

// Mean of one channel over a square of the frame: one pixel of the frame after halvings.
__device__ static float mean_of(const unsigned char* corner, long long stride, int side) {
    int sum = 0;
    for (int row = 0; row < side; ++row)
        for (int column = 0; column < side; ++column) sum += corner[row * stride + 3LL * column];
    return (float)sum / (side * side);
}

// Whether the mask of a frame shows the pixel of its box that lies under a pixel of the inner part of the target.
__device__ static bool is_shown(
    const unsigned char* mask, int frame_width, int box_left, int box_top, int box_width, int box_height, int x, int y,
    int inner_width, int inner_height) {
    // Divided twice as OpenCV does it, so that both round alike.
    const int column = min((int)floor(x * (1.0 / ((double)inner_width / box_width))), box_width - 1);
    const int row = min((int)floor(y * (1.0 / ((double)inner_height / box_height))), box_height - 1);
    return mask[(long long)(box_top + row) * frame_width + box_left + column] != 0;
}

// Crops a box of a BGR frame, halves it some times (its sides are multiples of that), interpolates it into the inner part
// of the target, blackens what the mask hides and what lies around, and writes normalised RGB planes. One thread for
// each pixel of the target.
extern "C" __global__ void lay_in(
    const unsigned char* frame, int frame_width,             // BGR, rows of 3 * frame_width bytes
    int box_left, int box_top, int box_width, int box_height, int halvings,
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
    const long long stride = 3LL * frame_width;
    const unsigned char* box = frame + box_top * stride + 3LL * box_left;
    if (seen && mask)
        seen = is_shown(mask, frame_width, box_left, box_top, box_width, box_height, x, y, inner_width, inner_height);
    if (seen) {
        const int side = 1 << halvings, halved_width = box_width >> halvings, halved_height = box_height >> halvings;
        const Between across = between_of(x, 1.0 / ((double)inner_width / halved_width), halved_width);
        const Between down = between_of(y, 1.0 / ((double)inner_height / halved_height), halved_height);
        const unsigned char* upper = box + down.first * side * stride;
        const unsigned char* lower = box + down.second * side * stride;
        const long long first = 3LL * side * across.first, second = 3LL * side * across.second;
        for (int channel = 0; channel < 3; ++channel) {
            const float above = mean_of(upper + first + channel, stride, side) * (1.0f - across.share)
                + mean_of(upper + second + channel, stride, side) * across.share;
            const float below = mean_of(lower + first + channel, stride, side) * (1.0f - across.share)
                + mean_of(lower + second + channel, stride, side) * across.share;
            colours[channel] = above * (1.0f - down.share) + below * down.share;
        }
    }
    const long long area = (long long)width * height;
    for (int channel = 0; channel < 3; ++channel)
        planes[channel * area + pixel] = __float2half_rn((colours[2 - channel] - mean) * gain);
}

// One value of a plane, of 8 bit, or of 16 with the lower byte first.
__device__ static int value_at(const unsigned char* plane, int wide, long long at) {
    return wide ? plane[2 * at] | plane[2 * at + 1] << 8 : plane[at];
}

// Mean of a plane over a square of the frame; each of its values stands for step_x by step_y pixels.
__device__ static float mean_of_plane(
    const unsigned char* plane, int wide, long long stride, int step_x, int step_y, int left, int top, int side) {
    int sum = 0;
    for (int row = 0; row < side; ++row)
        for (int column = 0; column < side; ++column)
            sum += value_at(plane, wide, (top + row) / step_y * stride + (left + column) / step_x);
    return (float)sum / (side * side);
}

// As lay_in, of a frame as it was decoded: luma and two planes of chroma, which become colours when they have been
// shrunk, cut to 0 to 255. One thread for each pixel of the target.
extern "C" __global__ void lay_in_planes(
    const unsigned char* luma, const unsigned char* chroma_blue, const unsigned char* chroma_red,
    int wide,                                                // 1 for planes of 16 bit, 0 for 8
    int frame_width, int chroma_width, int step_x, int step_y,  // values in a row; pixels that share a value of chroma
    const float* to_bgr,                                     // 3 rows of 4: B, G, R of luma, chroma and 1
    int box_left, int box_top, int box_width, int box_height, int halvings,
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
    if (seen && mask)
        seen = is_shown(mask, frame_width, box_left, box_top, box_width, box_height, x, y, inner_width, inner_height);
    if (seen) {
        const int side = 1 << halvings, halved_width = box_width >> halvings, halved_height = box_height >> halvings;
        const Between across = between_of(x, 1.0 / ((double)inner_width / halved_width), halved_width);
        const Between down = between_of(y, 1.0 / ((double)inner_height / halved_height), halved_height);
        const int left = box_left + side * across.first, right = box_left + side * across.second;
        const int upper = box_top + side * down.first, lower = box_top + side * down.second;
        const unsigned char* of[3] = {luma, chroma_blue, chroma_red};
        float values[3];
        for (int plane = 0; plane < 3; ++plane) {
            const int row_length = plane ? chroma_width : frame_width, dx = plane ? step_x : 1, dy = plane ? step_y : 1;
            const float above = mean_of_plane(of[plane], wide, row_length, dx, dy, left, upper, side) * (1.0f - across.share)
                + mean_of_plane(of[plane], wide, row_length, dx, dy, right, upper, side) * across.share;
            const float below = mean_of_plane(of[plane], wide, row_length, dx, dy, left, lower, side) * (1.0f - across.share)
                + mean_of_plane(of[plane], wide, row_length, dx, dy, right, lower, side) * across.share;
            values[plane] = above * (1.0f - down.share) + below * down.share;
        }
        for (int channel = 0; channel < 3; ++channel) {
            const float* row = to_bgr + 4 * channel;
            const float colour = row[0] * values[0] + row[1] * values[1] + row[2] * values[2] + row[3];
            colours[channel] = colour < 0.0f ? 0.0f : colour > 255.0f ? 255.0f : colour;
        }
    }
    const long long area = (long long)width * height;
    for (int channel = 0; channel < 3; ++channel)
        planes[channel * area + pixel] = __float2half_rn((colours[2 - channel] - mean) * gain);
}

// The source pixels that make a target pixel, from first to last, and the weights of the two and of those between.
struct Cover {
    int first, last;
    float at_first, between, at_last;
};

// Shrinking: the share of each source pixel that lies under the target pixel; slivers of less than a thousandth of a pixel
// are left out (cv2.INTER_AREA). Enlarging: as above.
__device__ static Cover cover_of(int target, int target_length, int length, bool shrinks) {
    const double scale = 1.0 / ((double)target_length / length);
    Cover cover;
    if (!shrinks) {
        const Between between = between_of(target, scale, length);
        cover.first = between.first, cover.last = between.second;
        cover.at_first = 1.0f - between.share, cover.between = 0.0f, cover.at_last = between.share;
        return cover;
    }
    const double begin = target * scale, end = begin + scale, width = min(scale, length - begin);
    const int whole_end = min((int)floor(end), length - 1), whole_begin = min((int)ceil(begin), whole_end);
    const bool before = whole_begin - begin > 1e-3, after = end - whole_end > 1e-3;
    cover.between = (float)(1.0 / width);
    cover.first = before ? whole_begin - 1 : whole_begin;
    cover.last = after ? whole_end : whole_end - 1;
    cover.at_last = after ? (float)(min(min(end - whole_end, 1.0), width) / width) : cover.between;
    cover.at_first = before ? (float)((whole_begin - begin) / width) : cover.first < whole_end ? cover.between : cover.at_last;
    return cover;
}

__device__ static float weight_of(const Cover& cover, int at) {
    return at == cover.first ? cover.at_first : at == cover.last ? cover.at_last : cover.between;
}

// Resizes a box of a BGR frame, black where the mask hides it, and writes normalised RGB planes. One thread for each pixel
// of the target.
extern "C" __global__ void resize_field(
    const unsigned char* frame, int frame_width,             // BGR, rows of 3 * frame_width bytes
    int box_left, int box_top, int box_width, int box_height,
    const unsigned char* mask,                               // of the frame, 0 is hidden; null: nothing is
    __half* planes, int width, int height, int shrinks,      // target: 3 planes, R first
    float mean, float gain)                                  // value = (colour - mean) * gain
{
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= width * height) return;
    const Cover across = cover_of(pixel % width, width, box_width, shrinks != 0);
    const Cover down = cover_of(pixel / width, height, box_height, shrinks != 0);
    float colours[3] = {0.0f, 0.0f, 0.0f};
    for (int row = down.first; row <= down.last; ++row) {
        const long long line = (long long)(box_top + row) * frame_width + box_left;
        float sums[3] = {0.0f, 0.0f, 0.0f};
        for (int column = across.first; column <= across.last; ++column) {
            if (mask && mask[line + column] == 0) continue;
            const float weight = weight_of(across, column);
            for (int channel = 0; channel < 3; ++channel)
                sums[channel] += frame[3 * (line + column) + channel] * weight;
        }
        const float weight = weight_of(down, row);
        for (int channel = 0; channel < 3; ++channel) colours[channel] += sums[channel] * weight;
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
