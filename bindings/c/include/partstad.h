/* partstad: segments coloured point clouds into named parts.
 *
 * Made from the source by cbindgen; tests/header.rs says how. See README.md beside this folder.
 *
 * Failures. A call returns PARTSTAD_OK or what went wrong; partstad_last_error() has the words. A failed call sets its
 * output to NULL. A NULL that is not allowed, an array of a wrong length or kind, a text that is not UTF-8 and numbers
 * out of range are failures, never a crash.
 *
 * Pointers. They must lead to what the parameter's type says, or be NULL. Texts end with a zero byte and are UTF-8; paths
 * are the system's. What the caller hands over is only used during the call.
 *
 * Ownership. A handle is the caller's until its free function; then nobody may use it, nor what was shown of it. Handles
 * may be freed in any order: each keeps what it needs. What a call shows of a handle lives as long as the handle, and must
 * not be freed or changed.
 *
 * Threads. Every call may be made by any thread, on the same handle too, but for the one that frees it. The message of
 * partstad_last_error is the thread's own.
 *
 * Letters. N rows, K views, S superpoints, L parts, B boxes. Arrays are row-major. Images have x to the right, y down.
 */


#ifndef PARTSTAD_H
#define PARTSTAD_H

#include <stddef.h>
#include <stdint.h>

// The version of this interface. It changes when a program that was compiled against another one would break.
#define PARTSTAD_ABI 1

// Values of an array: unsigned integers of 8 bits.
#define PARTSTAD_U8 1

// Signed integers of 32 bits.
#define PARTSTAD_I32 2

// Floating-point numbers of 32 bits.
#define PARTSTAD_F32 3

// Floating-point numbers of 64 bits.
#define PARTSTAD_F64 4

// How a call ended.
typedef enum {
  // Done.
  PARTSTAD_OK = 0,
  // A file could not be opened, read or written.
  PARTSTAD_IO = 1,
  // A file's content is not what its format asks for.
  PARTSTAD_FORMAT = 2,
  // An argument or an option is outside what the call accepts.
  PARTSTAD_INVALID = 3,
  // A model or ONNX Runtime cannot be used.
  PARTSTAD_MODEL = 4,
  // The device cannot be used.
  PARTSTAD_DEVICE = 5,
  // There is not enough memory.
  PARTSTAD_MEMORY = 6,
  // The observer stopped the work.
  PARTSTAD_CANCELLED = 7,
  // A bug of the library. Free the handles that the call was given, and report the message.
  PARTSTAD_BUG = 8,
} partstad_status;

// A cloud, ready to be segmented. May be used by any number of threads.
typedef struct partstad_cloud partstad_cloud;

// Where pipelines compute. May be used by any number of threads.
typedef struct partstad_device partstad_device;

// Options, models and learned weights. May be used by any number of threads, and for any number of clouds.
typedef struct partstad_pipeline partstad_pipeline;

// What was found of the parts of a cloud. All that is shown of it lives as long as the handle, and may be read by any
// number of threads. It outlives the cloud and the pipeline.
typedef struct partstad_result partstad_result;

// The images of a cloud, and which row each pixel shows. All that is shown of it lives as long as the handle, and may be
// read by any number of threads.
typedef struct partstad_views partstad_views;

// An array of the caller's, row after row, only read during the call. All zero is no array.
typedef struct {
  // The first value.
  const void *data;
  // Number of rows; how many values a row has is said where the array is taken.
  size_t rows;
  // What the values are, such as `PARTSTAD_F32`.
  uint32_t kind;
} partstad_array;

// Watches one call. Each function may be NULL. All are called by the thread that made the call, before it returns.
// They must not throw or jump out; the process is aborted then. The texts live as long as the function runs.
typedef struct {
  // Handed to every function.
  void *user;
  // A stage begins: "superpoints", "views", "boxes", "masks", "evidence", "memberships", "weights", "scores",
  // "labels" or "instances".
  void (*begins)(void *user, const char *stage);
  // Something that is no error, but that the caller should know; the result holds it too.
  void (*warns)(void *user, const char *warning);
  // Asked before every stage: any value but 0 stops the work, and the call returns `PARTSTAD_CANCELLED`.
  int (*cancels)(void *user);
} partstad_observer;

// A box of one view.
typedef struct {
  // The view, from 0.
  uint32_t view;
  // The part: its place among the names, from 0.
  uint32_t part;
  // Left edge, in pixels of the view's image.
  float x;
  // Upper edge.
  float y;
  // Size to the right.
  float width;
  // Size downwards.
  float height;
  // The detector's confidence, from 0 to 1.
  float score;
} partstad_box;

// What a detector of the caller's found, and whatever else is known, for `partstad_lift`. All zero but the boxes is
// enough: then the boxes themselves vote.
typedef struct {
  // `box_count` boxes, of the images that `partstad_render` makes of the cloud.
  const partstad_box *boxes;
  // Number of boxes, B.
  size_t box_count;
  // A mask of every box: `PARTSTAD_U8`, a row of side * side pixels, row-major from the top, 0 = outside; or
  // `PARTSTAD_F32`, a row of 256 * 256 logits as SAM gives them, above 0 = inside.
  partstad_array masks;
  // A feature of every box, `PARTSTAD_F32`, a row of `channels` values; learned weights read them.
  partstad_array features;
  // Values of a feature; 0 without features.
  size_t channels;
  // The superpoint of every row of the cloud's input, `PARTSTAD_I32`, -1 where no point stands for a row.
  partstad_array superpoints;
  // What the vote of every box counts, `PARTSTAD_F32`: B values, or 1 + B with that of "no part" first.
  partstad_array weights;
} partstad_predictions;

// One piece of a part.
typedef struct {
  // Its part: the place among the names, from 0.
  uint32_t part;
  // Number of points.
  uint32_t points;
  // From 0 to 1: how well the boxes bear it out, or by the rule `touching` the mean softmax of its part over its points.
  float confidence;
} partstad_instance;

// What was found of one part.
typedef struct {
  // Its name, trimmed and in lower case.
  const char *name;
  // Why no point is of it, or why those that are make no instance; NULL if there is an instance.
  const char *reason;
  // Points that are of it.
  size_t points;
  // Its instances.
  size_t instances;
  // Its boxes, over all views.
  size_t boxes;
  // Superpoints that its boxes hold visible points of: where it can win.
  size_t superpoints;
  // Superpoints that it won.
  size_t won;
  // Points that are of it and in no instance.
  size_t without_instance;
} partstad_part;

// How long a stage took.
typedef struct {
  // The stage, as an observer is told it.
  const char *stage;
  // Wall-clock seconds.
  double seconds;
} partstad_seconds;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the interface that the library was built with; compare it with `PARTSTAD_ABI` when a library was
// loaded that the program was not linked with.
uint32_t partstad_abi(void);

// The version of the library, such as "0.1.0". Never freed.
const char *partstad_version(void);

// What the last call of this thread that failed has to say: what went wrong, the value found and what to do about it,
// in UTF-8. Empty if none has failed. Valid until the next call of this thread fails.
const char *partstad_last_error(void);

// Opens a device: "cpu", "cuda" (the first), "cuda:1" and so on, or "auto", which is the CUDA device with the most
// free memory and else the CPU.
partstad_status partstad_device_open(const char *name,
                                     partstad_device **device);

// Works on a stream of the caller's, a `CUstream` or `cudaStream_t`, so that the caller's work and the library's run in
// order without a wait; NULL is the default stream. The stream's context must be current on this thread, and be the
// device's primary one, as the CUDA runtime has it. The stream must live until the device and all that was made with it
// (pipelines, clouds, views, results) are freed.
partstad_status partstad_device_on_stream(void *stream,
                                          partstad_device **device);

// The device's name, such as "cuda:0"; lives as long as the handle.
partstad_status partstad_device_name(const partstad_device *device, const char **name);

// Waits for the device, and gives back to the driver the memory that the library keeps there for the next cloud. A CPU keeps
// none.
partstad_status partstad_device_trim(const partstad_device *device);

// Frees a device. Pipelines that were made with it keep what they need. NULL is nothing to free.
void partstad_device_free(partstad_device *device);

// Starts the threads that all pipelines of the process compute on; 0 = one per core, which is what happens without
// this call. Results do not depend on their number. Call it before anything else; afterwards it is an error.
partstad_status partstad_start_threads(size_t threads);

// Makes a pipeline without models: it can lift, render and make superpoints. `device`: NULL = the CPU. `options`: JSON
// with the options of every stage, as `partstad segment --options` takes it (docs/files.md); NULL = all as usual.
partstad_status partstad_pipeline_new(const partstad_device *device,
                                      const char *options,
                                      partstad_pipeline **pipeline);

// Gives a pipeline the models that `partstad_segment` needs; calls that run keep those they began with. `folder`: with
// manifest.json and ONNX files (docs/models.md); NULL = the small stand-ins inside the library. `options`: JSON as
// `--model-options` takes it; NULL = all as usual. Takes seconds. Fetches ONNX Runtime from PyPI if this machine has
// none and `ORT_DYLIB_PATH` names none.
partstad_status partstad_pipeline_load_models(const partstad_pipeline *pipeline,
                                              const char *folder,
                                              const char *options);

// Gives a pipeline learned weights of the boxes, as `partstad train` writes them; calls that run keep what they began
// with. They are for the parts that they were learned for, in that order.
partstad_status partstad_pipeline_load_weights(const partstad_pipeline *pipeline,
                                               const char *file);

// Frees a pipeline; no other thread may use it any more. Clouds and results live on. NULL is nothing to free.
void partstad_pipeline_free(partstad_pipeline *pipeline);

// Reads a cloud, or a mesh and draws points on it, as the pipeline's options say. Of a mesh, rows are the points that
// were drawn. The formats are those of docs/files.md.
partstad_status partstad_cloud_read(const partstad_pipeline *pipeline,
                                    const char *file,
                                    partstad_cloud **cloud);

// Makes a cloud of arrays on the host, which are copied. Rows that are not finite are left out and get no label;
// points far off and copies are treated as those of files (docs/files.md).
// `positions`: x, y, z of every row in any unit, `PARTSTAD_F32` or `PARTSTAD_F64`.
// `colors`: red, green, blue of every row, `PARTSTAD_U8`, or `PARTSTAD_F32` from 0 to 1. None if the option
// cloud.colors is "grey".
partstad_status partstad_cloud_from_host(const partstad_pipeline *pipeline,
                                         partstad_array positions,
                                         partstad_array colors,
                                         partstad_cloud **cloud);

// Makes a cloud of arrays in the memory of the pipeline's CUDA device. What fills them must be on the device's stream, or
// have ended. The call waits for it: both arrays are read back once, because the frame is found on the host, and the
// placed positions (12 bytes a row) are the only array that goes up. The arrays may be freed, in the stream's order, as
// soon as it returns. Rows are treated as those of `partstad_cloud_from_host`.
// `positions`: x, y, z of every row, `PARTSTAD_F32`. `colors`: red, green, blue from 0 to 1, `PARTSTAD_F32`.
partstad_status partstad_cloud_from_device(const partstad_pipeline *pipeline,
                                           partstad_array positions,
                                           partstad_array colors,
                                           partstad_cloud **cloud);

// Number of rows of the input: of points as a file or the arrays hold them. Results have one value for each.
size_t partstad_cloud_rows(const partstad_cloud *cloud);

// Number of points that are segmented: rows without those that were left out.
size_t partstad_cloud_points(const partstad_cloud *cloud);

// What was noticed about the cloud; results repeat it. Lives as long as the handle.
partstad_status partstad_cloud_warnings(const partstad_cloud *cloud,
                                        const char *const **warnings,
                                        size_t *count);

// Frees a cloud; no other thread may use it any more. Results of it live on. NULL is nothing to free.
void partstad_cloud_free(partstad_cloud *cloud);

// Finds the named parts of a cloud. The pipeline needs models; cloud and pipeline must have the same options cloud.
// `parts`: `part_count` names such as "leg"; together they are the prompt. `observer`: NULL = nobody watches.
partstad_status partstad_segment(const partstad_pipeline *pipeline,
                                 const partstad_cloud *cloud,
                                 const char *const *parts,
                                 size_t part_count,
                                 const partstad_observer *observer,
                                 partstad_result **result);

// Finds the parts of a cloud without names: "part 1" is the largest, and each is one instance. The pipeline's models must
// have a segmenter that answers points, as those inside the library do. The other arguments are those of
// `partstad_segment`.
partstad_status partstad_segment_unnamed(const partstad_pipeline *pipeline,
                                         const partstad_cloud *cloud,
                                         const partstad_observer *observer,
                                         partstad_result **result);

// Lifts boxes and masks of the caller's detector to the named parts of a cloud. The other arguments are those of
// `partstad_segment`.
partstad_status partstad_lift(const partstad_pipeline *pipeline,
                              const partstad_cloud *cloud,
                              const char *const *parts,
                              size_t part_count,
                              const partstad_predictions *predictions,
                              const partstad_observer *observer,
                              partstad_result **result);

// The part of every row of the cloud's input: its place among the names, -1 = none.
partstad_status partstad_result_labels(const partstad_result *result, const int32_t **labels, size_t *rows);

// The instance of every row: its place in the list of instances, -1 = none.
partstad_status partstad_result_instances(const partstad_result *result,
                                          const int32_t **instances,
                                          size_t *rows);

// The superpoint of every row, -1 = none.
partstad_status partstad_result_superpoints(const partstad_result *result,
                                            const int32_t **superpoints,
                                            size_t *rows);

// `partstad_result_labels` in the memory of the pipeline's CUDA device. They lie there already, unless rows were left out:
// then they are copied there. What reads them must be on the device's stream, or come after it.
partstad_status partstad_result_labels_on_device(const partstad_result *result,
                                                 const int32_t **labels,
                                                 size_t *rows);

// `partstad_result_instances` in the memory of the pipeline's CUDA device; they are copied there when first asked for.
// What reads them must be on the device's stream, or come after it.
partstad_status partstad_result_instances_on_device(const partstad_result *result,
                                                    const int32_t **instances,
                                                    size_t *rows);

// The list of instances, by part.
partstad_status partstad_result_instance_list(const partstad_result *result,
                                              const partstad_instance **list,
                                              size_t *count);

// What was found of every part, in the order of the names.
partstad_status partstad_result_parts(const partstad_result *result,
                                      const partstad_part **parts,
                                      size_t *count);

// The boxes of all views.
partstad_status partstad_result_boxes(const partstad_result *result,
                                      const partstad_box **boxes,
                                      size_t *count);

// How much every superpoint looks like every part: `superpoints` rows of `columns` values, the softmax of the votes;
// column 0 is "no part", then the parts in the order of the names.
partstad_status partstad_result_scores(const partstad_result *result,
                                       const float **scores,
                                       size_t *superpoints,
                                       size_t *columns);

// The part of every face of the mesh that the cloud was read from, -1 = none.
partstad_status partstad_result_face_labels(const partstad_result *result,
                                            const int32_t **labels,
                                            size_t *faces);

// The instance of every face of the mesh, -1 = none.
partstad_status partstad_result_face_instances(const partstad_result *result,
                                               const int32_t **instances,
                                               size_t *faces);

// What the caller should know and that is no error.
partstad_status partstad_result_warnings(const partstad_result *result,
                                         const char *const **warnings,
                                         size_t *count);

// How long every stage took, in the order they ran.
partstad_status partstad_result_seconds(const partstad_result *result,
                                        const partstad_seconds **stages,
                                        size_t *count);

// All but the arrays as JSON: what run.json of `partstad segment` says (docs/files.md).
partstad_status partstad_result_json(const partstad_result *result, const char **json);

// Writes what `partstad segment` writes, the report included (docs/files.md), into a folder, which is made if need be.
partstad_status partstad_result_write(const partstad_result *result,
                                      const char *folder);

// Frees a result and all that was shown of it; no other thread may use it any more. NULL is nothing to free.
void partstad_result_free(partstad_result *result);

// Renders a cloud as the pipeline's options say: by default from ten directions, 800 pixels a side.
partstad_status partstad_render(const partstad_pipeline *pipeline,
                                const partstad_cloud *cloud,
                                partstad_views **views);

// The images: `views` times `side` times `side` pixels of red, green, blue, row-major from the top.
partstad_status partstad_views_images(const partstad_views *views,
                                      const uint8_t **images,
                                      size_t *count,
                                      size_t *side);

// The row of the cloud's input that each pixel shows, -1 = background: `views` times `side` times `side` values.
partstad_status partstad_views_rows(const partstad_views *views,
                                    const int32_t **rows,
                                    size_t *count,
                                    size_t *side);

// Writes what `partstad render` writes (docs/files.md) into a folder, which is made if need be.
partstad_status partstad_views_write(const partstad_views *views, const char *folder);

// Frees views and all that was shown of them; no other thread may use them any more. NULL is nothing to free.
void partstad_views_free(partstad_views *views);

// Over-segments a cloud as the pipeline's options say. `of_row`: the caller's array for the superpoint of every row of
// the cloud's input, -1 where no point stands for a row; `rows`: its length, which must be `partstad_cloud_rows`.
// `count`: how many superpoints there are.
partstad_status partstad_superpoints(const partstad_pipeline *pipeline,
                                     const partstad_cloud *cloud,
                                     int32_t *of_row,
                                     size_t rows,
                                     size_t *count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PARTSTAD_H */
