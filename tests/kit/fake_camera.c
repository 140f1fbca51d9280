/* Stands in for the kernel's V4L2: preloaded into a process, it answers for the device that FAKE_CAMERA names.

   Two buffers lie in a memory file, so that mmap and poll are the system's own. A frame is all of one luma, 40 for the
   first, 2 more for each that follows; chroma is grey. After FAKE_CAMERA_FRAMES frames the camera is unplugged. Numbers
   and layouts of the questions come from the kernel's header, not from the program under test. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (1 << 22)
#define BUFFERS 2

static const struct { unsigned letters, width, height, rates[3]; } modes[] = {
    {V4L2_PIX_FMT_YUYV, 1920, 1080, {5}},
    {V4L2_PIX_FMT_YUYV, 320, 240, {30, 25}},
    {V4L2_PIX_FMT_UYVY, 320, 240, {50, 25}},
    {V4L2_PIX_FMT_NV12, 160, 120, {50}},
};
#define MODES ((int)(sizeof modes / sizeof *modes))

static int device = -1, frames, queued[BUFFERS], next_free;
static struct v4l2_pix_format now = {.width = 320, .height = 240, .pixelformat = V4L2_PIX_FMT_UYVY};
static unsigned rate = 50;

static unsigned bytes(void)
{
    unsigned pixels = now.width * now.height;
    return now.pixelformat == V4L2_PIX_FMT_NV12 ? pixels * 3 / 2 : pixels * 2;
}

static int is_camera(const char *path)
{
    const char *own = getenv("FAKE_CAMERA");
    return own && path && !strcmp(path, own);
}

static int open_camera(void)
{
    int opened = memfd_create("camera", 0);
    if (ftruncate(opened, BUFFER * BUFFERS)) return -1;
    device = opened;
    return opened;
}

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...)                                      \
    {                                                                               \
        va_list more;                                                               \
        va_start(more, flags);                                                      \
        int mode = va_arg(more, int);                                               \
        va_end(more);                                                               \
        if (is_camera(path)) return open_camera();                                  \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);              \
        int opened = next(path, flags, mode);                                       \
        if (opened == device) device = -1; /* the camera was closed */              \
        return opened;                                                              \
    }
OPEN(open)
OPEN(open64)

static int no(int why)
{
    errno = why;
    return -1;
}

static int nth_letters(unsigned index, unsigned *letters)
{
    unsigned seen = 0;
    for (int one = 0; one < MODES; ++one) {
        if (one && modes[one].letters == modes[one - 1].letters) continue;
        if (seen++ == index) return *letters = modes[one].letters, 0;
    }
    return -1;
}

static int dequeue(struct v4l2_buffer *buffer)
{
    const char *most = getenv("FAKE_CAMERA_FRAMES");
    if (most && frames >= atoi(most)) return no(ENODEV);
    struct timespec step = {0, 1000000000L / rate};
    nanosleep(&step, NULL);
    int index = next_free;
    if (!queued[index]) return no(EAGAIN);
    queued[index] = 0;
    next_free = (index + 1) % BUFFERS;
    unsigned char *data = mmap(NULL, BUFFER, PROT_WRITE, MAP_SHARED, device, (off_t)index * BUFFER);
    unsigned char luma = 40 + 2 * (frames % 80);
    unsigned pixels = now.width * now.height;
    if (now.pixelformat == V4L2_PIX_FMT_NV12) {
        memset(data, luma, pixels);
        memset(data + pixels, 128, pixels / 2);
    } else {
        int first = now.pixelformat == V4L2_PIX_FMT_YUYV ? 0 : 1;
        for (unsigned pixel = 0; pixel < pixels; ++pixel) {
            data[2 * pixel + first] = luma;
            data[2 * pixel + 1 - first] = 128;
        }
    }
    munmap(data, BUFFER);
    ++frames;
    buffer->index = index;
    buffer->bytesused = bytes();
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    buffer->timestamp.tv_sec = moment.tv_sec;
    buffer->timestamp.tv_usec = moment.tv_nsec / 1000;
    return 0;
}

static int answer(unsigned long question, void *argument)
{
    switch (question) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = argument;
        memset(it, 0, sizeof *it);
        strcpy((char *)it->driver, "fake");
        strcpy((char *)it->card, "Fake Capture HD");
        it->capabilities = V4L2_CAP_DEVICE_CAPS | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *it = argument;
        memset(it, 0, sizeof *it);
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *it = argument;
        return nth_letters(it->index, &it->pixelformat) ? no(EINVAL) : 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *it = argument;
        unsigned seen = 0;
        for (int one = 0; one < MODES; ++one)
            if (modes[one].letters == it->pixel_format && seen++ == it->index) {
                it->type = V4L2_FRMSIZE_TYPE_DISCRETE;
                it->discrete.width = modes[one].width;
                it->discrete.height = modes[one].height;
                return 0;
            }
        return no(EINVAL);
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *it = argument;
        for (int one = 0; one < MODES; ++one)
            if (modes[one].letters == it->pixel_format && modes[one].width == it->width && it->index < 3 &&
                modes[one].rates[it->index]) {
                it->type = V4L2_FRMIVAL_TYPE_DISCRETE;
                it->discrete.numerator = 1;
                it->discrete.denominator = modes[one].rates[it->index];
                return 0;
            }
        return no(EINVAL);
    }
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: {
        struct v4l2_format *it = argument;
        for (int one = 0; one < MODES; ++one)
            if (modes[one].letters == it->fmt.pix.pixelformat && modes[one].width == it->fmt.pix.width &&
                modes[one].height == it->fmt.pix.height) {
                now.width = it->fmt.pix.width;
                now.height = it->fmt.pix.height;
                now.pixelformat = it->fmt.pix.pixelformat;
            }
    } /* fall through: what was set is told */
    case VIDIOC_G_FMT: {
        struct v4l2_format *it = argument;
        it->fmt.pix = now;
        it->fmt.pix.field = V4L2_FIELD_NONE;
        it->fmt.pix.sizeimage = bytes();
        return 0;
    }
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *it = argument;
        struct v4l2_fract *span = &it->parm.capture.timeperframe;
        if (span->numerator) rate = span->denominator / span->numerator;
    } /* fall through */
    case VIDIOC_G_PARM: {
        struct v4l2_streamparm *it = argument;
        it->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        it->parm.capture.timeperframe.numerator = 1;
        it->parm.capture.timeperframe.denominator = rate;
        return 0;
    }
    case VIDIOC_REQBUFS:
        ((struct v4l2_requestbuffers *)argument)->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *it = argument;
        it->length = BUFFER;
        it->m.offset = it->index * BUFFER;
        return 0;
    }
    case VIDIOC_QBUF:
        queued[((struct v4l2_buffer *)argument)->index] = 1;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(argument);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    }
    return no(ENOTTY);
}

int ioctl(int descriptor, unsigned long question, ...)
{
    va_list more;
    va_start(more, question);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (descriptor >= 0 && descriptor == device) return answer(question, argument);
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return next(descriptor, question, argument);
}
