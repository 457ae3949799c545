"""The companion to “On First-Order Meta-Learning Algorithms”: its experiments, figures and verdicts.

One folder per page, called like its notebook. The rooms build on one another, and on `metalib`; each imports
only from those above it in this list:

    publishing       figures to take away: as SVG, PDF, PNG and table
    style            one look for all figures
    intervals        confidence intervals
    prose            numbers and tables that a notebook hands to its text
    verdicts         paper, measured, verdict
    revisions        which code decided the numbers of a result
    results          tables and arrays with where they came from
    budgets          how much work every experiment does
    running          the machinery that runs experiments
    sine             section 4: sine waves
    fewshot          section 6.1: few-shot classification
    glyphs           the embedded letters
    inner_gradients  section 6.2: which inner gradients matter
    overlap          section 6.3: minibatches that overlap
    expansion        section 5.1: the expansion of an outer update
    avg_grad_inner   section 5.1: AvgGrad and AvgGradInner
    manifolds        section 5.2: solution manifolds
    implicit         implicit MAML beside the methods of the paper
    costs            what each method costs, and what that buys
    descendants      what became of Reptile
    playground       the pages to play with
    questions        what readers ask of the paper
    pitfalls         mistakes, written out so that they can be seen failing
    scaling          what many workers cost
    personalization  writers as clients who fine-tune one model
    speed            metalib beside other libraries
    slides           key figures, 16:9 with large type
    catalogue        all experiments by name
    remaking         a result made again from its provenance
    upkeep           what lies in a folder of results, and how unfinished work is removed
    options          numbers and names as they are typed
    endings          how the command line ends
"""
