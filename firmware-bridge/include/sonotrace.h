/* The C interface of sonotrace: generated from its Rust source, do not edit.
 *
 * A session lives in memory that the caller provides and starts no thread. Each of its sides may be used by one thread
 * at a time: frames in, prompts in, the step that computes, overlays out, events out; any thread may read the counters.
 * A second thread on one side gets SONOTRACE_STATUS_BUSY. No call waits for another, none allocates after opening.
 */

#ifndef SONOTRACE_H
#define SONOTRACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SONOTRACE_FRAME_ABI_VERSION 1
#define SONOTRACE_OVERLAY_ABI_VERSION 1
#define SONOTRACE_TGC_POINTS 8
#define SONOTRACE_LINES_MAX 4096
#define SONOTRACE_SAMPLES_MAX 8192
#define SONOTRACE_LAW_LINEAR 1
#define SONOTRACE_LAW_LOGARITHMIC 2
#define SONOTRACE_LAW_VENDOR_TABLE 3
#define SONOTRACE_FRAME_FROZEN 1
#define SONOTRACE_FRAME_BURNT_IN_OVERLAY 2
#define SONOTRACE_FRAME_REPLAYED 4
#define SONOTRACE_FRAME_GAP_BEFORE 8
#define SONOTRACE_FRAME_CRC_PRESENT 16
#define SONOTRACE_FRAME_TGC_PENDING 32
#define SONOTRACE_OBJECTS_MAX 10
#define SONOTRACE_CONTOUR_POINTS_MAX 256
#define SONOTRACE_POLYGONS_MAX 5
#define SONOTRACE_ANSWERS_MAX 16
#define SONOTRACE_STAGES 5
#define SONOTRACE_OVERLAY_UPDATE 1
#define SONOTRACE_OVERLAY_GAP_BEFORE 2
#define SONOTRACE_OVERLAY_FROZEN 4
#define SONOTRACE_VALID_PIXELS 1
#define SONOTRACE_VALID_MILLIMETRES 2
#define SONOTRACE_VALID_AT_BORDER 4
#define SONOTRACE_VALID_ELLIPSE 8

// A click.
#define SONOTRACE_PROMPT_CLICK 1

// A box around the object.
#define SONOTRACE_PROMPT_BOX 2

// Stop tracking this object.
#define SONOTRACE_PROMPT_REMOVE 3

// Points are in the probe's plane: millimetres, or source pixels where the scale is unknown.
#define SONOTRACE_SPACE_PLANE 1

// Points are sample (x) and line (y) of the frame; for a picture its column and row.
#define SONOTRACE_SPACE_LINE_SAMPLE 2

// Points are pixels of the declared display.
#define SONOTRACE_SPACE_DISPLAY 3

// Work on the newest queued frame; older ones are dropped and counted. For live scanning.
#define SONOTRACE_POLICY_NEWEST 1

// Work on every frame, in order. For replay.
#define SONOTRACE_POLICY_ALL 2

// Maximum number of amplitude tables.
#define SONOTRACE_VENDOR_TABLES_MAX 64

// Result of a call.
enum sonotrace_status_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Success.
  SONOTRACE_STATUS_OK = 0,
  // Nothing is queued.
  SONOTRACE_STATUS_EMPTY = 1,
  // A pointer is null.
  SONOTRACE_STATUS_NULL_POINTER = 2,
  // The handle does not refer to an open session.
  SONOTRACE_STATUS_NOT_A_SESSION = 3,
  // Another thread is in a call on the same side of the session.
  SONOTRACE_STATUS_BUSY = 4,
  // A setting is invalid, or the structure's size differs from this library's.
  SONOTRACE_STATUS_CONFIG = 5,
  // The model file is refused.
  SONOTRACE_STATUS_MODEL = 6,
  // The file cannot be opened.
  SONOTRACE_STATUS_FILE = 7,
  // The region is too small or misaligned.
  SONOTRACE_STATUS_REGION = 8,
  // The session cannot be opened with this model, or failed its self-test.
  SONOTRACE_STATUS_SESSION = 9,
  // A frame was committed without being acquired, or a descriptor is invalid.
  SONOTRACE_STATUS_FRAME = 10,
  // A prompt is invalid.
  SONOTRACE_STATUS_PROMPT = 11,
  // The queue of prompts is full: try again after a step.
  SONOTRACE_STATUS_FULL = 12,
  // The other side of a ring has broken its protocol.
  SONOTRACE_STATUS_RING = 13,
  // A defect of this library ended the call. The session is poisoned.
  SONOTRACE_STATUS_PANIC = 14,
  // A defect ended an earlier call on this session: it can only be closed.
  SONOTRACE_STATUS_POISONED = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_status_e sonotrace_status_e;
#else
typedef uint32_t sonotrace_status_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Result of one step.
enum sonotrace_step_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // There is no frame to work on.
  SONOTRACE_STEP_IDLE = 0,
  // A frame is in work: step again.
  SONOTRACE_STEP_WORKING = 1,
  // The frame was dropped, and counted.
  SONOTRACE_STEP_DROPPED = 2,
  // The frame's overlay was committed.
  SONOTRACE_STEP_OVERLAY = 3,
  // A further overlay of the frozen frame was committed.
  SONOTRACE_STEP_UPDATE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_step_e sonotrace_step_e;
#else
typedef uint32_t sonotrace_step_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the samples are.
enum sonotrace_domain_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Envelope per scan line and depth sample, before scan conversion.
  SONOTRACE_DOMAIN_POLAR_ENVELOPE = 1,
  // In-phase and quadrature pairs per scan line and depth sample, before envelope detection. Full scale is an
  // envelope of 32767.
  SONOTRACE_DOMAIN_POLAR_IQ = 2,
  // Raw radio-frequency samples: not supported, and refused with their own error.
  SONOTRACE_DOMAIN_POLAR_RF = 3,
  // A picture, already scan-converted.
  SONOTRACE_DOMAIN_SCAN_CONVERTED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_domain_e sonotrace_domain_e;
#else
typedef uint32_t sonotrace_domain_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Type of one stored sample, little-endian.
enum sonotrace_sample_type_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Unsigned byte.
  SONOTRACE_SAMPLE_TYPE_U8 = 1,
  // Signed 16-bit integer, the type of radio-frequency samples. No supported domain has it. A front end can use it
  // to describe a radio-frequency frame, which is refused with its own error.
  SONOTRACE_SAMPLE_TYPE_I16 = 2,
  // Pair of signed 16-bit integers, in-phase first.
  SONOTRACE_SAMPLE_TYPE_I16_PAIR = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_sample_type_e sonotrace_sample_type_e;
#else
typedef uint32_t sonotrace_sample_type_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Shape of the scanned field.
enum sonotrace_geometry_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Parallel lines, `left_mm` to `right_mm`.
  SONOTRACE_GEOMETRY_LINEAR = 1,
  // Lines that fan out from behind the probe's curved face.
  SONOTRACE_GEOMETRY_CONVEX = 2,
  // Lines that fan out from (nearly) one point.
  SONOTRACE_GEOMETRY_PHASED = 3,
  // A picture with known pixel spacing.
  SONOTRACE_GEOMETRY_RASTER = 4,
  // A picture of unknown scale: contours are given in pixels, never in millimetres.
  SONOTRACE_GEOMETRY_RASTER_UNKNOWN = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_geometry_e sonotrace_geometry_e;
#else
typedef uint32_t sonotrace_geometry_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// State of an overlay or of an object on it. A stale contour is never marked as a fresh one.
enum sonotrace_state_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // No object is followed.
  SONOTRACE_STATE_EMPTY = 0,
  // Made from a prompt on this frame.
  SONOTRACE_STATE_FRESH = 1,
  // Propagated to this frame by the tracker.
  SONOTRACE_STATE_TRACKED = 2,
  // Propagated with low confidence: the user should check it.
  SONOTRACE_STATE_ATTENTION = 3,
  // The contour of an earlier frame.
  SONOTRACE_STATE_STALE = 4,
  // The object is lost and has no contour.
  SONOTRACE_STATE_LOST = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_state_e sonotrace_state_e;
#else
typedef uint32_t sonotrace_state_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How much was computed for a frame; 0 is the most.
enum sonotrace_rung_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The encoder, and the decoder for each object.
  SONOTRACE_RUNG_FULL = 0,
  // No computation: the last contours are repeated, marked stale.
  SONOTRACE_RUNG_REPEAT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_rung_e sonotrace_rung_e;
#else
typedef uint32_t sonotrace_rung_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The outcome of a prompt.
enum sonotrace_prompt_outcome_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The prompt was served.
  SONOTRACE_PROMPT_OUTCOME_SERVED = 1,
  // The features of its frame are no longer in the cache.
  SONOTRACE_PROMPT_OUTCOME_TOO_OLD = 2,
  // It points outside the field of view, or its box has no extent.
  SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD = 3,
  // There are as many objects as possible: remove one first.
  SONOTRACE_PROMPT_OUTCOME_NO_ROOM = 4,
  // It removes or corrects an object that does not exist.
  SONOTRACE_PROMPT_OUTCOME_UNKNOWN_OBJECT = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_prompt_outcome_e sonotrace_prompt_outcome_e;
#else
typedef uint32_t sonotrace_prompt_outcome_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A session, opaque to C. It lies at the start of the caller's region.
typedef struct sonotrace_session_t sonotrace_session_t;

// A mapped model file, opaque to C.
typedef struct sonotrace_model_t sonotrace_model_t;

// A prompt of the user.
typedef struct {
  // `SONOTRACE_PROMPT_CLICK`, `_BOX` or `_REMOVE`.
  uint32_t kind;
  // The device's number for the object, from 1. A new number starts a new object; a known number corrects that
  // object.
  uint32_t object;
  // Sequence number of the frame that was on the screen; 0 for the next frame (on a frozen image: the one shown).
  uint64_t seq;
  // `SONOTRACE_SPACE_PLANE`, `_LINE_SAMPLE` or `_DISPLAY`.
  uint32_t space;
  // For a click: 1 on the object, 0 outside it.
  uint32_t is_positive;
  // Position of a click, or one corner of a box: x, y.
  float from[2];
  // The opposite corner of a box: x, y.
  float to[2];
} sonotrace_prompt_t;

// A session's settings: start from `sonotrace_config_default`. They are fixed from opening to closing.
typedef struct {
  // Size of this structure: set by `sonotrace_config_default`, checked by every call that takes one.
  uint32_t config_bytes;
  // `SONOTRACE_POLICY_NEWEST` or `SONOTRACE_POLICY_ALL`.
  uint32_t policy;
  // Time from a frame's commit to its overlay's commit. A later overlay is a deadline miss.
  uint64_t budget_ns;
  // Time that one step computes. A step may take up to one tile longer.
  uint64_t slice_ns;
  // Frames whose features are kept, so that prompts on them can be served.
  uint32_t kept_frames;
  // Rows of a new geometry's sampling table that are computed per frame.
  uint32_t table_rows_per_frame;
  // Width of the display, in whose pixels contours are reported. If width and height are 0: the picture's own pixels.
  uint32_t display_width;
  // Height of the display.
  uint32_t display_height;
  // Confidence below which an object's state is attention.
  float attention_below;
  // Confidence below which an object counts as lost.
  float lost_below;
  // Capacity of the queue of frames.
  uint32_t frames_queued;
  // Capacity of the queue of overlays.
  uint32_t overlays_queued;
  // Capacity of the queue of prompts.
  uint32_t commands_queued;
  // Capacity of the queue of events.
  uint32_t events_queued;
  // Largest payload of a frame, in bytes.
  uint64_t payload_bytes;
  // Amplitude tables that frames may name, 256 bytes each, one after the other; copied when the session is opened.
  const uint8_t *vendor_tables;
  // Number of amplitude tables in `vendor_tables`.
  uint32_t vendor_table_count;
  // Zero.
  uint32_t reserved;
  // The clock, in nanoseconds from an arbitrary start. It must not go backwards. Null for the system's monotonic
  // clock. Called from the threads that step and that commit frames.
  uint64_t (*now_ns)(void *user);
  // Argument of `now_ns`.
  void *clock_user;
} sonotrace_config_t;

// One point of the time-gain-compensation curve.
typedef struct {
  // Depth along the line.
  float depth_mm;
  // Gain at that depth.
  float gain_db;
} sonotrace_tgc_point_t;

// The descriptor as it is stored in a slot. Plain data: nothing in it is believed before it is checked.
typedef struct {
  // `SNTF` in memory order.
  uint32_t magic;
  // SONOTRACE_FRAME_ABI_VERSION.
  uint16_t abi_version;
  // Size of this structure in bytes.
  uint16_t descriptor_bytes;
  // Bytes of payload that follow the descriptor.
  uint32_t payload_bytes;
  // Bits of SONOTRACE_FRAME_.
  uint32_t flags;
  // Sequence number given by the front end, from 1.
  uint64_t seq;
  // When the frame was acquired, on the clock `clock_id`.
  uint64_t t_acq_ns;
  // When it was queued in the ring, on the runtime's clock.
  uint64_t t_enqueue_ns;
  // The clock of `t_acq_ns`; 0 is the runtime's own.
  uint32_t clock_id;
  // Counter that changes with the geometry.
  uint32_t geometry_epoch;
  // A sonotrace_domain_e.
  uint32_t domain;
  // A sonotrace_sample_type_e.
  uint32_t sample_type;
  // Scan lines, or image rows.
  uint32_t lines;
  // Samples per line, or pixels per row.
  uint32_t samples;
  // Bytes from one line (row) to the next.
  uint32_t stride_bytes;
  // A sonotrace_geometry_e.
  uint32_t geometry;
  // Distance from the lines' common apex to the probe's face; 0 for linear.
  float apex_radius_mm;
  // Direction of the first line, from the probe's axis, positive to the right.
  float first_angle_rad;
  // Direction of the last line.
  float last_angle_rad;
  // Depth below the face of the first sample's centre.
  float first_depth_mm;
  // Depth below the face of the last sample's centre.
  float last_depth_mm;
  // Lateral position of the first line (linear), or the centre of the left-most pixel column (raster).
  float left_mm;
  // Lateral position of the last line (linear).
  float right_mm;
  // Depth of the centre of the top-most pixel row (raster).
  float top_mm;
  // Pixel pitch across (raster).
  float spacing_x_mm;
  // Pixel pitch down (raster).
  float spacing_y_mm;
  // First column that shows the scan (raster). Pixels outside the content are border and ignored.
  uint32_t content_column;
  // First row that shows the scan (raster).
  uint32_t content_row;
  // Number of columns that show the scan (raster). All four content fields are 0 if the whole picture does.
  uint32_t content_columns;
  // Number of rows that show the scan (raster).
  uint32_t content_rows;
  // Speed of sound that depths are computed with.
  float speed_of_sound_m_s;
  // One of SONOTRACE_LAW_.
  uint32_t amplitude_law;
  // Dynamic range of the first two laws.
  float law_range_db;
  // Table of the third law.
  uint32_t law_table;
  // Overall gain.
  float gain_db;
  // Frames per second; 0 if unknown.
  float frame_rate_hz;
  // Number of valid points of `tgc`, which are in order of depth.
  uint32_t tgc_points;
  // CRC-32 (IEEE) of the payload if SONOTRACE_FRAME_CRC_PRESENT.
  uint32_t crc32;
  // Time-gain compensation, [`TGC_POINTS`] points.
  sonotrace_tgc_point_t tgc[8];
} sonotrace_frame_descriptor_t;

// A slot to fill with a frame.
typedef struct {
  // The descriptor. It still describes the slot's last frame: start from `sonotrace_frame_descriptor_init`.
  sonotrace_frame_descriptor_t *descriptor;
  // Room for the samples.
  uint8_t *payload;
  // Size of that room in bytes.
  size_t payload_capacity;
} sonotrace_frame_slot_t;

// The reply to one prompt.
typedef struct {
  // The ticket that the prompt got when it was queued.
  uint32_t ticket;
  // The prompt's object.
  uint32_t object;
  // A sonotrace_prompt_outcome_e.
  uint32_t outcome;
  // Zero.
  uint32_t reserved;
} sonotrace_prompt_answer_t;

// An ellipse in the probe's plane.
typedef struct {
  // Its centre.
  float centre_mm[2];
  // Half of its longest diameter.
  float semi_major_mm;
  // Half of its shortest diameter.
  float semi_minor_mm;
  // Direction of the longest diameter, from the x axis towards the y axis (clockwise on the display), in
  // `-pi/2..=pi/2`.
  float angle_rad;
  // Circumference (Ramanujan 1914, second formula).
  float circumference_mm;
} sonotrace_ellipse_t;

// One object on an overlay.
typedef struct {
  // The device's number for the object, from 1.
  uint32_t id;
  // A sonotrace_state_e.
  uint32_t state;
  // Bits of SONOTRACE_VALID_.
  uint32_t valid;
  // Points of the contour, all polygons together.
  uint32_t points;
  // Polygons of the contour: the outline, then the holes.
  uint32_t polygons;
  // Points of each polygon; their points follow one another in `contour_px` and `contour_mm`.
  uint32_t polygon_points[SONOTRACE_POLYGONS_MAX];
  // Confidence, 0 to 1.
  float confidence;
  // Area in display pixels, without holes.
  float area_px2;
  // Area without holes.
  float area_mm2;
  // Length of the outline.
  float perimeter_mm;
  // Longest distance between two points of the outline.
  float long_axis_mm;
  // Extent of the outline across its long axis.
  float short_axis_mm;
  // Centroid of the area, display pixels.
  float centroid_px[2];
  // Centroid of the area, probe millimetres.
  float centroid_mm[2];
  // The ellipse with the area moments of the outline.
  sonotrace_ellipse_t ellipse;
  // The contour in display pixels.
  float contour_px[SONOTRACE_CONTOUR_POINTS_MAX][2];
  // The contour in probe millimetres.
  float contour_mm[SONOTRACE_CONTOUR_POINTS_MAX][2];
} sonotrace_overlay_object_t;

// The result for one frame.
typedef struct {
  // `SNTO` in memory order.
  uint32_t magic;
  // SONOTRACE_OVERLAY_ABI_VERSION.
  uint32_t abi_version;
  // Sequence number of the frame.
  uint64_t seq;
  // Acquisition time of the frame, on its own clock.
  uint64_t t_acq_ns;
  // Time from the commit of the frame to the commit of this overlay.
  uint64_t latency_ns;
  // Time from the commit of the frame that the contours were computed on to the commit of this overlay. The same as
  // `latency_ns` if they were computed on this frame.
  uint64_t age_ns;
  // Time spent in each stage, in order: queue, sample, encode, decode, contour.
  uint64_t stage_ns[SONOTRACE_STAGES];
  // Counts steps of the session, so that a watchdog can check that it runs.
  uint64_t heartbeat;
  // A sonotrace_state_e: the worst of the objects'.
  uint32_t state;
  // A sonotrace_rung_e.
  uint32_t rung;
  // The frame's geometry epoch.
  uint32_t geometry_epoch;
  // Valid entries of `objects`.
  uint32_t object_count;
  // Bits of SONOTRACE_OVERLAY_.
  uint32_t flags;
  // Valid entries of `answers`.
  uint32_t answer_count;
  // Replies to prompts since the last overlay.
  sonotrace_prompt_answer_t answers[SONOTRACE_ANSWERS_MAX];
  // The objects.
  sonotrace_overlay_object_t objects[SONOTRACE_OBJECTS_MAX];
} sonotrace_overlay_t;

// One event: 32 bytes, plain data.
typedef struct {
  // Time on the runtime's clock.
  uint64_t t_ns;
  // Sequence number of its frame; 0 for none.
  uint64_t seq;
  // An event kind.
  uint32_t kind;
  // A number whose meaning depends on the kind.
  uint32_t detail;
  // A second number whose meaning depends on the kind.
  uint64_t value;
} sonotrace_event_t;

// Totals since a session was opened. At any time, frames committed = `overlays` + all `dropped_` + frames that are
// queued or in work.
typedef struct {
  // Overlays committed, one per frame.
  uint64_t overlays;
  // Frames superseded by a newer one.
  uint64_t dropped_superseded;
  // Frames whose descriptor or payload was refused.
  uint64_t dropped_malformed;
  // Frames not newer than a delivered one.
  uint64_t dropped_out_of_order;
  // Frames that arrived while the image was frozen.
  uint64_t dropped_frozen;
  // Frames still queued when the session was closed.
  uint64_t dropped_shut_down;
  // Overlays evicted before they were fetched.
  uint64_t overlays_unfetched;
  // Overlays later than the budget.
  uint64_t deadline_misses;
  // Part of `overlays`: those that repeat contours of an earlier frame, marked stale.
  uint64_t repeats;
  // Further overlays of a frozen frame.
  uint64_t updates;
  // Frames that never arrived: gaps in the sequence numbers.
  uint64_t frames_missing;
  // Restarts of the stream.
  uint64_t restarts;
  // Changes of geometry.
  uint64_t geometry_changes;
  // Prompts served.
  uint64_t prompts_served;
  // Prompts whose frame's features were no longer kept.
  uint64_t prompts_too_old;
  // Prompts that could not be served for another reason.
  uint64_t prompts_refused;
  // Prompts still unanswered when the session was closed.
  uint64_t prompts_unanswered;
  // Invalid commands.
  uint64_t bad_commands;
  // Steps so far. A watchdog can check that it grows.
  uint64_t heartbeat;
} sonotrace_counters_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, `major.minor.patch`, as static NUL-terminated ASCII.
const char *sonotrace_version(void);

// Queues a prompt. `ticket`, which may be null, receives the prompt's number. The overlay that replies to the prompt
// has the same number.
//
// # Safety
// `session` comes from `sonotrace_open`; `prompt` is null or points to one, `ticket` is null or points to room for
// a number.
sonotrace_status_e sonotrace_prompt(sonotrace_session_t *session,
                                    const sonotrace_prompt_t *prompt,
                                    uint32_t *ticket);

// Reports that the image is frozen (1) or live again (0). Frames that arrive while it is frozen are dropped and
// counted; prompts are served on the frame that is shown.
//
// # Safety
// `session` comes from `sonotrace_open`.
sonotrace_status_e sonotrace_set_frozen(sonotrace_session_t *session,
                                        uint32_t is_frozen);

// Writes the settings for live scanning: newest frame only, 33 ms budget, a 640 x 480 display, frames of up to 1 MiB.
//
// # Safety
// `config` is null or points to room for a `sonotrace_config_t`.
sonotrace_status_e sonotrace_config_default(sonotrace_config_t *config);

// Sets magic, version and size of a descriptor, and zeroes the rest.
//
// # Safety
// `descriptor` is null or points to room for one.
sonotrace_status_e sonotrace_frame_descriptor_init(sonotrace_frame_descriptor_t *descriptor);

// Checks a descriptor as the session does. Returns `SONOTRACE_STATUS_FRAME` if a field is invalid; the last error's
// text names the field.
//
// # Safety
// `descriptor` is null or points to one.
sonotrace_status_e sonotrace_frame_descriptor_check(const sonotrace_frame_descriptor_t *descriptor);

// Acquires the slot to fill next. Never waits. The slot is the caller's until it is committed; until then, each
// acquire returns the same slot.
//
// # Safety
// `session` comes from `sonotrace_open`; `slot` is null or points to room for one.
sonotrace_status_e sonotrace_frame_acquire(sonotrace_session_t *session,
                                           sonotrace_frame_slot_t *slot);

// Queues the acquired frame and sets its `t_enqueue_ns` from the session's clock. Never waits: if the queue is full,
// its oldest frame is evicted and counted, and `evicted`, which may be null, receives 1. The session checks the
// descriptor when it takes the frame, and counts an invalid one as malformed.
//
// # Safety
// `session` comes from `sonotrace_open`; `evicted` is null or points to room for a number.
sonotrace_status_e sonotrace_frame_commit(sonotrace_session_t *session,
                                          uint32_t *evicted);

// Maps a model file read-only, so that no process can change or truncate it while it is used. Call it before scanning:
// it reads the file and allocates. Any number of sessions may share a model.
//
// # Safety
// `path` is null or NUL-terminated; `model` is null or points to room for a pointer.
sonotrace_status_e sonotrace_model_map(const char *path,
                                       sonotrace_model_t **model);

// The first byte of a mapped model; null for null.
//
// # Safety
// `model` is null or was made by `sonotrace_model_map` and not unmapped since.
const uint8_t *sonotrace_model_data(const sonotrace_model_t *model);

// Bytes of a mapped model; 0 for null.
//
// # Safety
// As `sonotrace_model_data`.
size_t sonotrace_model_bytes(const sonotrace_model_t *model);

// Unmaps a model. Null is allowed.
//
// # Safety
// `model` is null or was made by `sonotrace_model_map`; no session uses it any more, and it is unmapped once.
void sonotrace_model_unmap(sonotrace_model_t *model);

// The next overlay, oldest first: `overlay` receives a pointer to it that is valid until the next call on this side.
// Returns `SONOTRACE_STATUS_EMPTY`, and null, if there is none.
//
// # Safety
// `session` comes from `sonotrace_open`; `overlay` is null or points to room for a pointer.
sonotrace_status_e sonotrace_overlay_poll(sonotrace_session_t *session,
                                          const sonotrace_overlay_t **overlay);

// The next event, oldest first. Returns `SONOTRACE_STATUS_EMPTY` if there is none.
//
// # Safety
// `session` comes from `sonotrace_open`; `event` is null or points to room for one.
sonotrace_status_e sonotrace_event_next(sonotrace_session_t *session, sonotrace_event_t *event);

// Writes an event as one line of NUL-terminated text, truncated to `text_bytes` (at least 1).
//
// # Safety
// `event` is null or points to one, `text` is null or points to room for `text_bytes` bytes.
sonotrace_status_e sonotrace_event_text(const sonotrace_event_t *event, char *text, size_t text_bytes);

// Computes the memory that a session needs, in bytes, and the alignment of its start. The model's first 4096 bytes
// suffice. The model itself and thread stacks are not included.
//
// # Safety
// Each pointer is null or valid for what its name says: `model_bytes` bytes, one configuration with its tables, room
// for a `size_t` each.
sonotrace_status_e sonotrace_memory_required(const uint8_t *model,
                                             size_t model_bytes,
                                             const sonotrace_config_t *config,
                                             size_t *bytes,
                                             size_t *align);

// Opens a session in `region`: verifies the model, lays out the memory, and runs each program once as a self-test. No
// later call allocates. The session uses the region and the model until it is closed.
//
// # Safety
// Each pointer is null or valid for what its name says; nothing else uses the `region_bytes` bytes at `region` until
// the session is closed, and the model does not change until then.
sonotrace_status_e sonotrace_open(const uint8_t *model,
                                  size_t model_bytes,
                                  const sonotrace_config_t *config,
                                  uint8_t *region,
                                  size_t region_bytes,
                                  sonotrace_session_t **session);

// Continues the frame in work, or takes the next one, for one slice. Never waits. `step` and `seq` (the frame's
// sequence number, or 0) may be null.
//
// # Safety
// `session` comes from `sonotrace_open`; `step` and `seq` are null or point to room for their values.
sonotrace_status_e sonotrace_step(sonotrace_session_t *session,
                                  sonotrace_step_e *step,
                                  uint64_t *seq);

// Reads the totals as of the last step. Any thread may call it.
//
// # Safety
// `session` comes from `sonotrace_open`; `counters` is null or points to room for them.
sonotrace_status_e sonotrace_counters(const sonotrace_session_t *session, sonotrace_counters_t *counters);

// Closes a session: queued frames are counted in `dropped_shut_down`. The region and the model are the caller's again,
// and the handle is no longer valid. `counters`, if not null, receives the final totals. A poisoned session is closed,
// too: the call returns `SONOTRACE_STATUS_POISONED`, and the totals are those of the last step.
//
// # Safety
// `session` comes from `sonotrace_open`, and no other thread is in a call on it or will be; `counters` is null or
// points to room for them.
sonotrace_status_e sonotrace_close(sonotrace_session_t *session,
                                   sonotrace_counters_t *counters);

// The text of this thread's last failed call: what is wrong, the limit, the value seen. NUL-terminated UTF-8, empty if
// no call has failed; valid until the next failure on this thread.
const char *sonotrace_last_error(void);

// The name of a status, in lower case: static NUL-terminated ASCII.
const char *sonotrace_status_name(uint32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SONOTRACE_H */
