/* Files that processes begin to run code from: told once each, so that user space can look for TLS libraries in them.
 *
 * What:  the start of a program, and mmap of a file to be executed, make a record of the file and the process, unless
 *        user space has said that it knows the file (`known_files`). A file counts as another one after it was written to.
 * Why:   programs start all the time, and nearly always from files that were looked at long ago. To hear of each mapping
 *        costs user space a hundred times what a look into a map costs here.
 * How:   what is known is only known for a round. User space begins a new one before it lets go of anything, so that what
 *        comes into use from then on is told again. Nothing is told in round 0.
 *        mmap is told at its exit: user space finds the file among the mappings of the process.
 * Lost without it: the plain text of libraries and programs that come into use, until all processes are looked at again.
 * Not told: files that are mapped first, and made executable afterwards (mprotect); no loader does that.
 */

#define PROTECTION_EXECUTE 4
#define MAPS_NO_FILE 0x20 /* MAP_ANONYMOUS */
#define FILE_TYPE_REGULAR 0100000
#define MAPPING_CALLS 1024
#define LAST_ERROR 4095

enum mapping_number {
    MAPPING_ROUND = 0,
    MAPPINGS_LOST = 1, /* records that the ring had no room for */
    MAPPING_NUMBERS = 2,
};

/* One file with one content: agent/tls/mapped_files.py has the same layout. */
struct file_version {
    u64 inode;
    u64 size;
    u64 modified_seconds;
    u32 modified_nanoseconds;
    u32 device;
    u32 generation; /* of the inode's number, where a file system uses it again */
    u32 unused;
};

struct mapped_file {
    struct file_version version;
    u32 process;
    u32 unused;
};

BPF_RINGBUF_OUTPUT(mapped_files, SIZED_AT_LOAD);
BPF_ARRAY(mapping_numbers, u64, MAPPING_NUMBERS);

/* The round in which a file was last known. What was not asked for longest makes room; it is told once more. */
BPF_TABLE("lru_hash", struct file_version, u64, known_files, SIZED_AT_LOAD);

/* pid_tgid -> what a thread is about to map, which is not known. Who is killed within mmap leaves its own behind. */
BPF_TABLE("lru_hash", u64, struct file_version, mapping_calls, MAPPING_CALLS);

/* Whether user space has yet to hear of a file; which one it is, is in `version`. */
static __always_inline int is_unknown_file(struct file *file, struct file_version *version)
{
    u32 number = MAPPING_ROUND;
    u64 *round = mapping_numbers.lookup(&number);
    struct super_block *file_system = NULL;
    struct inode *inode = NULL;
    unsigned long inode_number = 0;
    loff_t size = 0;
    u16 mode = 0;
    u64 *known;

    if (!round || !*round || !file)
        return 0;
    bpf_probe_read_kernel(&inode, sizeof(inode), &file->f_inode);
    bpf_probe_read_kernel(&mode, sizeof(mode), &inode->i_mode);
    if ((mode & FILE_TYPE_MASK) != FILE_TYPE_REGULAR)
        return 0;
    bpf_probe_read_kernel(&inode_number, sizeof(inode_number), &inode->i_ino);
    bpf_probe_read_kernel(&size, sizeof(size), &inode->i_size);
    bpf_probe_read_kernel(&version->generation, sizeof(version->generation), &inode->i_generation);
    bpf_probe_read_kernel(&version->modified_seconds, sizeof(version->modified_seconds),
                          (void *)inode + INODE_MODIFIED_SECONDS_OFFSET);
    bpf_probe_read_kernel(&version->modified_nanoseconds, sizeof(version->modified_nanoseconds),
                          (void *)inode + INODE_MODIFIED_NANOSECONDS_OFFSET);
    bpf_probe_read_kernel(&file_system, sizeof(file_system), &inode->i_sb);
    bpf_probe_read_kernel(&version->device, sizeof(version->device), &file_system->s_dev);
    version->inode = inode_number;
    version->size = size;
    known = known_files.lookup(version);
    return !known || *known != *round;
}

static __always_inline void tell_mapped_file(const struct file_version *version, u64 pid_tgid)
{
    struct mapped_file *record = mapped_files.ringbuf_reserve(sizeof(struct mapped_file));
    u32 number = MAPPINGS_LOST;
    u64 *lost;

    if (record) {
        __builtin_memcpy(&record->version, version, sizeof(record->version));
        record->process = pid_tgid >> 32;
        record->unused = 0;
        mapped_files.ringbuf_submit(record, 0);
        return;
    }
    lost = mapping_numbers.lookup(&number);
    if (lost)
        __sync_fetch_and_add(lost, 1);
}

static __always_inline int start_program(struct task_struct *task)
{
    struct file_version version = {};
    struct mm_struct *memory = NULL;
    struct file *program = NULL;

    bpf_probe_read_kernel(&memory, sizeof(memory), &task->mm);
    bpf_probe_read_kernel(&program, sizeof(program), &memory->exe_file);
    if (is_unknown_file(program, &version))
        tell_mapped_file(&version, bpf_get_current_pid_tgid());
    return 0;
}

static __always_inline int enter_mmap(u32 protection, u32 flags, int descriptor)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct file_version version = {};

    if (!(protection & PROTECTION_EXECUTE) || flags & MAPS_NO_FILE)
        return 0;
    if (is_unknown_file(file_of_descriptor(descriptor), &version))
        mapping_calls.update(&pid_tgid, &version);
    return 0;
}

static __always_inline int exit_mmap(long result)
{
    u64 pid_tgid = bpf_get_current_pid_tgid();
    struct file_version *version = mapping_calls.lookup(&pid_tgid);

    if (!version)
        return 0;
    if (result > 0 || result < -LAST_ERROR)
        tell_mapped_file(version, pid_tgid);
    mapping_calls.delete(&pid_tgid);
    return 0;
}
